"""Opening what is sealed: conversations' heads and nodes, file names. Keys come in, nothing is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.records import contexts
from apps.records.drafts import unpack_node
from apps.records.importers.types import Node
from apps.records.models import Attachment, Conversation, Message
from apps.sealing import content
from apps.sealing.aead import Box

POSITIONS_A_QUERY = 500


@dataclass(frozen=True)
class Head:
    """What is sealed on a conversation's row."""

    external_id: str
    title: str
    header: dict[str, Any]
    current: int | None  # position of the node that the conversation ends with


@dataclass(frozen=True)
class FileInfo:
    """A file of a conversation: what it is called, what it is, and what messages call it."""

    id: UUID
    conversation_id: UUID
    name: str
    media_type: str
    pointer: str
    size: int


def living_keys(conversations: Sequence[Conversation]) -> dict[UUID, bytes]:
    """Open the keys of conversations, by key id; those that were destroyed meanwhile are left out."""
    ids = [row.key_id for row in conversations]
    try:
        return keys.open_keys(ids)
    except KeyDestroyed:
        return dict(_living(ids))


def open_head(conversation: Conversation, box: Box) -> Head:
    context = contexts.conversation(conversation.key_id, conversation.pk)
    value = content.unseal_json(box, conversation.sealed, context=context)
    return Head(value["id"], value["title"], value["header"], value["current"])


def open_nodes(conversation: Conversation, box: Box, positions: Sequence[int]) -> dict[int, Node]:
    """Open the nodes at these positions."""
    prefix = contexts.messages(conversation.key_id, conversation.pk)
    opened = {}
    for start in range(0, len(positions), POSITIONS_A_QUERY):
        some = positions[start : start + POSITIONS_A_QUERY]
        rows = Message.objects.filter(conversation_id=conversation.pk, position__in=some)
        for position, sealed in rows.values_list("position", "sealed"):
            opened[position] = unpack_node(box.unseal(sealed, context=contexts.message(prefix, position)))
    return opened


def open_file_info(row: Attachment, key_id: UUID, box: Box | bytes) -> FileInfo:
    value = content.unseal_json(box, row.sealed, context=contexts.attachment(key_id, row.pk))
    return FileInfo(row.pk, row.conversation_id, value["name"], value["media_type"], value["pointer"], row.size)


def files_of(conversation: Conversation, box: Box) -> list[FileInfo]:
    """Return the files of a conversation that are fully there, in the order in which they came."""
    rows = Attachment.objects.filter(conversation_id=conversation.pk, stored=True).order_by("created_at", "pk")
    return [open_file_info(row, conversation.key_id, box) for row in rows]


def author_of(node: Node) -> str:
    """Return the model or tool that a message is from, as the file calls it; "" if it does not say."""
    message = node.data.get("message")
    if not isinstance(message, dict):
        return ""
    author, metadata = message.get("author"), message.get("metadata")
    name = author.get("name") if isinstance(author, dict) else None
    model = metadata.get("model_slug") if isinstance(metadata, dict) and node.role == "assistant" else None
    return next((value for value in (name, model) if isinstance(value, str) and value), "")


def _living(ids: Iterable[UUID]) -> Iterator[tuple[UUID, bytes]]:
    for key_id in ids:
        try:
            yield key_id, keys.open_key(key_id)
        except KeyDestroyed:
            continue
