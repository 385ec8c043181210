"""Reading one conversation: a page of one path through its tree, and its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.records import contexts, objects
from apps.records.changes import changed_at, is_correctable
from apps.records.errors import AttachmentNotFound, ConversationNotFound
from apps.records.importers.display import CORRECTED_AT, REMOVED_AT, Part, text_of
from apps.records.importers.types import Node
from apps.records.models import Attachment, Conversation, Subject
from apps.records.opening import FileInfo, author_of, files_of, open_file_info, open_head, open_nodes
from apps.records.selectors.lists import ConversationSummary, summaries
from apps.records.tree import Branch, Tree
from apps.sealing.aead import Box

TURNS = 50
MAX_TURNS = 200  # a page
MAX_BRANCHES = 50  # that are listed


@dataclass(frozen=True)
class Turn:
    """One message as it is shown. `number` counts along the path from 1.

    `version` of `versions`: this is one of several answers to the same message; `previous` and `next` are the positions
    of its neighbours among them, to be given as `branch`. `removed_at`: nothing is left of it but its place.
    """

    position: int
    number: int
    role: str
    created_at: datetime | None
    author: str  # model or tool
    parts: list[Part]
    version: int = 1
    versions: int = 1
    previous: int | None = None
    next: int | None = None
    removed_at: datetime | None = None
    corrected_at: datetime | None = None
    is_correctable: bool = False  # the person's own words


@dataclass(frozen=True)
class Reading:
    """A page of a conversation. `branch` is what was asked for; `last_page` counts pages of this path from 1."""

    summary: ConversationSummary
    turns: list[Turn]
    total: int  # messages on this path
    page: int
    last_page: int
    branch: int | None
    branches: list[Branch]
    files: list[FileInfo]
    by_pointer: dict[str, FileInfo] = field(repr=False)


@dataclass(frozen=True)
class OpenFile:
    """A file and its plain bytes as they come; the stream breaks off when its key is destroyed."""

    info: FileInfo
    chunks: Iterator[bytes] = field(repr=False)


def get_conversation(subject: Subject, conversation_id: UUID) -> Conversation:
    """Return a person's conversation; raises ConversationNotFound, also for another's."""
    found = Conversation.objects.filter(subject=subject, pk=conversation_id, erasing_at__isnull=True).first()
    if found is None:
        raise ConversationNotFound
    return found


def read_conversation(
    subject: Subject, conversation_id: UUID, *, branch: int | None = None, page: int = 1, limit: int = TURNS
) -> Reading:
    """Return a page of a conversation: its current path, or the one that leads through the message at `branch`.

    Only the messages of this page are opened. Pages out of range are those at the ends. Raises ConversationNotFound.
    """
    conversation = get_conversation(subject, conversation_id)
    found = summaries(subject, [conversation])
    if not found:
        raise ConversationNotFound  # its key was destroyed between two looks
    box = Box(keys.open_key(conversation.key_id))
    tree = Tree.of(conversation.pk, current=open_head(conversation, box).current)
    path = [position for position in tree.path(branch) if position in tree.messages]
    limit = min(max(limit, 1), MAX_TURNS)
    last_page = max(1, -(-len(path) // limit))
    page = min(max(page, 1), last_page)
    shown = path[(page - 1) * limit : page * limit]
    nodes = open_nodes(conversation, box, shown)
    files = files_of(conversation, box)
    first = (page - 1) * limit + 1
    return Reading(
        summary=found[0],
        turns=[
            _turn(tree, position, number, nodes[position])
            for number, position in enumerate(shown, first)
            if position in nodes
        ],
        total=len(path),
        page=page,
        last_page=last_page,
        branch=branch,
        branches=tree.branches(path, limit=MAX_BRANCHES),
        files=files,
        by_pointer={info.pointer: info for info in files if info.pointer},
    )


def page_of(subject: Subject, conversation_id: UUID, position: int, *, limit: int = TURNS) -> tuple[int | None, int]:
    """Return (branch, page) where a message is read: the way from a search result to its place."""
    conversation = get_conversation(subject, conversation_id)
    box = Box(keys.open_key(conversation.key_id))
    tree = Tree.of(conversation.pk, current=open_head(conversation, box).current)
    branch = None if position in tree.path() else position
    path = [one for one in tree.path(branch) if one in tree.messages]
    return branch, path.index(position) // limit + 1 if position in path else 1


def open_attachment(subject: Subject, attachment_id: UUID) -> OpenFile:
    """Return a person's file, its bytes not yet read; raises AttachmentNotFound.

    Each chunk is authentic. The key is looked at again at least every 60 s: KeyDestroyed ends the stream.
    """
    row = (
        Attachment.objects.select_related("conversation")
        .filter(pk=attachment_id, stored=True, conversation__subject=subject, conversation__erasing_at__isnull=True)
        .first()
    )
    if row is None:
        raise AttachmentNotFound
    key_id = row.conversation.key_id
    try:
        key = keys.open_key(key_id)
    except KeyDestroyed:
        raise AttachmentNotFound from None
    info = open_file_info(row, key_id, key)
    context = contexts.attachment_file(key_id, row.pk)
    return OpenFile(info, objects.download(row.object_name, key_id=key_id, key=key, context=context))


def _turn(tree: Tree, position: int, number: int, node: Node) -> Turn:
    versions = tree.versions(position)
    place = versions.index(position)
    return Turn(
        position=position,
        number=number,
        role=node.role,
        created_at=node.created_at,
        author=author_of(node),
        parts=text_of(node),
        version=place + 1,
        versions=len(versions),
        previous=versions[place - 1] if place else None,
        next=versions[place + 1] if place + 1 < len(versions) else None,
        removed_at=changed_at(node, REMOVED_AT),
        corrected_at=changed_at(node, CORRECTED_AT),
        is_correctable=is_correctable(node),
    )
