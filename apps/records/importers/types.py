"""What a reader hands over: conversations as trees of nodes in the shape of a ChatGPT export, and what was skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple


@dataclass(slots=True)
class Node:
    """One message of a conversation.

    `data` is a node as ChatGPT exports it: {id, message, parent, children}. The tree is sound: `parent` names an earlier
    node of the same conversation or is None, there are no cycles, ids are unique. `role` is "user", "assistant",
    "system", "tool", "unknown" (text without roles), "" (a node without a message), or what the file says.
    """

    id: str
    parent: str | None
    role: str
    created_at: datetime | None
    data: dict[str, Any]


@dataclass(slots=True)
class ParsedAttachment:
    """A file that belongs to a conversation. `pointer` is what messages call it; `open` may be called again.

    `name` is for showing, never a path. The iterator raises UnreadableFile if the bytes prove damaged.
    """

    name: str
    media_type: str
    pointer: str
    open: Callable[[], Iterator[bytes]]
    size: int


@dataclass(slots=True)
class ParsedConversation:
    """One conversation. `{**header, "mapping": {node.id: node.data for node in nodes}}` is its ChatGPT-export shape.

    `external_id` is the format's own id, or "sha256:…" of the content where the format has none. The caller looks it
    up by a keyed index and keeps it sealed: a bare hash of content would let anyone test a guess.
    `source` is the format the conversation first came in; reading Habeas' own archive gives the earlier one.
    """

    external_id: str
    title: str
    started_at: datetime | None
    updated_at: datetime | None
    header: dict[str, Any]
    nodes: list[Node]
    attachments: list[ParsedAttachment] = field(default_factory=list)
    source: str = ""


class Skipped(NamedTuple):
    """Something that was not read: where it is in the file, and why."""

    what: str
    why: str
