"""Removing or correcting a part of a conversation: a message, what the person wrote in one, a file.

What stays is sealed anew under another key; the old key is destroyed, and with it the only way to what was removed, also
from a backup (DESIGN §2). The tree stays: where a message was, a marker says that it was removed and when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils import timezone

from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.records.changes import (
    Change,
    changed_at,
    files_of_node,
    is_correctable,
    short_pointer,
)
from apps.records.errors import AttachmentNotFound, MessageNotFound, NotCorrectable
from apps.records.importers.display import REMOVED_AT
from apps.records.importers.types import Node
from apps.records.models import Attachment, Conversation, Subject
from apps.records.opening import FileInfo, files_of, open_nodes
from apps.records.selectors.reading import get_conversation
from apps.records.services.rewriting import rewrite_conversation
from apps.sealing.aead import Box

POSITIONS_AT_ONCE = 500


def remove_message(subject: Subject, conversation_id: UUID, position: int, *, actor: Actor) -> UUID:
    """Remove one message, and the files that only it refers to; return the conversation's id from now on.

    Raises MessageNotFound and what `rewrite_conversation` raises.
    """
    conversation, _node = message_at(subject, conversation_id, position)
    files = tuple(info.id for info in files_only_of(conversation, position))
    change = Change(_now(), removed=(position,), files=files)
    return rewrite_conversation(subject, conversation_id, change, actor=actor)


def correct_message(subject: Subject, conversation_id: UUID, position: int, text: str, *, actor: Actor) -> UUID:
    """Put other words in the place of what the person wrote in one message; return the conversation's id from now on.

    Raises MessageNotFound, NotCorrectable, and what `rewrite_conversation` raises.
    """
    _conversation, node = message_at(subject, conversation_id, position)
    if not is_correctable(node):
        raise NotCorrectable
    change = Change(_now(), corrected={position: text})
    return rewrite_conversation(subject, conversation_id, change, actor=actor)


def remove_attachment(subject: Subject, attachment_id: UUID, *, actor: Actor) -> UUID:
    """Remove one file; the messages stay. Return the conversation's id from now on. Raises AttachmentNotFound."""
    theirs = Attachment.objects.filter(conversation__subject=subject, conversation__erasing_at__isnull=True)
    row = theirs.filter(pk=attachment_id, stored=True).first()
    if row is None:
        raise AttachmentNotFound
    return rewrite_conversation(subject, row.conversation_id, Change(_now(), files=(row.pk,)), actor=actor)


def repeat_removal(conversation: Conversation, removed: Sequence[UUID | int], *, actor: Actor) -> UUID:
    """Remove again, from restored rows, what the log's intent names; words that were put in its place are lost."""
    change = Change(
        _now(),
        removed=tuple(one for one in removed if isinstance(one, int)),
        files=tuple(one for one in removed if isinstance(one, UUID)),
    )
    return rewrite_conversation(conversation.subject, conversation.pk, change, actor=actor)


def message_at(subject: Subject, conversation_id: UUID, position: int) -> tuple[Conversation, Node]:
    """Return a person's conversation and one of its messages; raises ConversationNotFound, MessageNotFound."""
    conversation = get_conversation(subject, conversation_id)
    if position >= conversation.node_count:
        raise MessageNotFound
    found = open_nodes(conversation, Box(keys.open_key(conversation.key_id)), [position])
    node = found.get(position)
    if node is None or not node.role or changed_at(node, REMOVED_AT) is not None:
        raise MessageNotFound
    return conversation, node


def files_only_of(conversation: Conversation, position: int) -> list[FileInfo]:
    """Return the files that this message refers to and no other one does."""
    box = Box(keys.open_key(conversation.key_id))
    files = [info for info in files_of(conversation, box) if info.pointer]
    node = open_nodes(conversation, box, [position])[position]
    left = files_of_node(node) & {short_pointer(info.pointer) for info in files}
    for other in _nodes(conversation) if left else ():
        if other.id != node.id:
            left -= files_of_node(other)
        if not left:
            break
    return [info for info in files if short_pointer(info.pointer) in left]


def _nodes(conversation: Conversation) -> Iterator[Node]:
    """Yield every node; the key is opened for a few at a time."""
    for start in range(0, conversation.node_count, POSITIONS_AT_ONCE):
        box = Box(keys.open_key(conversation.key_id))
        some = range(start, min(start + POSITIONS_AT_ONCE, conversation.node_count))
        yield from open_nodes(conversation, box, list(some)).values()


def _now() -> str:
    return timezone.now().isoformat()
