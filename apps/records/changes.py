"""What a change does to a conversation: a message leaves a marker in its place, or has other words. Pure work on values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.records.importers.display import CORRECTED_AT, REMOVED_AT, text_of
from apps.records.importers.types import Node
from apps.records.importers.values import as_dict, as_list

OWN_ROLES = {"user", "unknown"}  # "unknown": text that came without roles
OWN_WORDS = {"text", "multimodal_text"}
OF_A_FILE = {"content_type", "asset_pointer", "size_bytes", "width", "height"}  # nothing that was said
OF_AN_UPLOAD = {"id", "name", "mime_type", "size"}
SHORTEST_REPEAT = 12  # characters; a shorter title says what a conversation is about, and repeats nothing
SHORTEST_REPEAT_WIDE = 5  # Chinese, Japanese, Korean


@dataclass(frozen=True)
class Change:
    """What is to become of one conversation. Positions of messages; ids of files."""

    at: str  # ISO 8601
    removed: tuple[int, ...] = ()
    corrected: dict[int, str] = field(default_factory=dict)
    files: tuple[UUID, ...] = ()

    @property
    def positions(self) -> set[int]:
        return {*self.removed, *self.corrected}

    @property
    def row_ids(self) -> list[UUID | int]:
        """Return what the log's intent names: the positions whose earlier words go, then the files."""
        return [*sorted(self.positions), *self.files]

    def as_json(self) -> dict[str, Any]:
        corrected = [[position, text] for position, text in self.corrected.items()]
        return {"at": self.at, "removed": self.removed, "corrected": corrected, "files": self.files}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Change:
        files = tuple(UUID(text) for text in value["files"])
        return cls(value["at"], tuple(value["removed"]), dict(value["corrected"]), files)

    def apply(self, position: int, node: Node) -> Node:
        """Return the node as it stands from now on."""
        if position in self.corrected:
            return _with_words(node, self.corrected[position], self.at)
        return _without_words(node, self.at) if position in self.removed else node


def is_correctable(node: Node) -> bool:
    """Say whether a message is the person's own, in words."""
    content = as_dict(as_dict(node.data.get("message")).get("content"))
    is_own = node.role in OWN_ROLES and content.get("content_type") in OWN_WORDS
    return is_own and changed_at(node, REMOVED_AT) is None


def own_words(node: Node) -> str:
    """Return the text that a correction begins with."""
    content = as_dict(as_dict(node.data.get("message")).get("content"))
    return "\n".join(part for part in as_list(content.get("parts")) if isinstance(part, str))


def changed_at(node: Node, mark: str) -> datetime | None:
    """Return when a message was removed (REMOVED_AT) or corrected (CORRECTED_AT) here."""
    moment = as_dict(as_dict(node.data.get("message")).get("metadata")).get(mark)
    try:
        return datetime.fromisoformat(moment) if isinstance(moment, str) else None
    except ValueError:
        return None


def files_of_node(node: Node) -> set[str]:
    """Return what a message calls its files, in the short form of `short_pointer`."""
    return {short_pointer(part.pointer) for part in text_of(node) if part.pointer}


def short_pointer(pointer: str) -> str:
    """Return the part that all names of one file share: file-service://file-ABC#2 and file-ABC are one."""
    return pointer.partition("#")[0].rpartition("/")[2]


def trimmed(value: Any, words: Iterable[str]) -> Any:
    """Return a header without the texts that repeat what was said: a title is often the first words of a message."""
    said = [_flat(text) for text in words if text.strip()]
    return _trim(value, said)


def _trim(value: Any, said: list[str]) -> Any:
    if isinstance(value, str):
        return "" if _repeats(value, said) else value
    if isinstance(value, list):
        return [_trim(item, said) for item in value]
    if isinstance(value, dict):
        return {name: _trim(item, said) for name, item in value.items()}
    return value


def _repeats(text: str, said: list[str]) -> bool:
    flat = _flat(text)
    if len(flat) < (SHORTEST_REPEAT if flat.isascii() else SHORTEST_REPEAT_WIDE):
        return flat in said
    return any(flat in whole or (len(whole) >= SHORTEST_REPEAT and whole in flat) for whole in said)


def _flat(text: str) -> str:
    return " ".join(text.rstrip("….").split()).casefold()


def _without_words(node: Node, at: str) -> Node:
    message = {
        "id": node.id,
        "author": {"role": node.role},
        "create_time": None,
        "content": {"content_type": "text", "parts": []},
        "metadata": {REMOVED_AT: at},
    }
    return replace(node, created_at=None, data=_data(node, message))


def _with_words(node: Node, text: str, at: str) -> Node:
    """Make the message anew: only the files and the time are taken over, so that no earlier word stays anywhere."""
    before = as_dict(node.data.get("message"))
    parts = as_list(as_dict(before.get("content")).get("parts"))
    files = [_only(part, OF_A_FILE) for part in parts if as_dict(part).get("asset_pointer")]
    uploads = [_only(item, OF_AN_UPLOAD) for item in as_list(as_dict(before.get("metadata")).get("attachments"))]
    message = {
        "id": node.id,
        "author": {"role": node.role},
        "create_time": before.get("create_time"),
        "content": {"content_type": "multimodal_text" if files else "text", "parts": [*files, text]},
        "metadata": {CORRECTED_AT: at, **({"attachments": uploads} if uploads else {})},
    }
    return replace(node, data=_data(node, message))


def _data(node: Node, message: dict[str, Any]) -> dict[str, Any]:
    links = {name: node.data.get(name) for name in ("parent", "children")}
    return {"id": node.id, "message": message, **links}


def _only(value: Any, names: set[str]) -> dict[str, Any]:
    return {name: item for name, item in as_dict(value).items() if name in names}
