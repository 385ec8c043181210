"""What a person sees of one message: its parts in order, for reader pages, text, CSV and HTML.

Nothing is left out: what ChatGPT hides becomes a part of kind "hidden", what nobody knows one of kind "unknown".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .types import Node
from .values import as_dict, as_list, as_text

TEXT, CODE, THOUGHT, IMAGE, AUDIO, FILE, HIDDEN, UNKNOWN = (
    "text",
    "code",
    "thought",
    "image",
    "audio",
    "file",
    "hidden",
    "unknown",
)


class Part(NamedTuple):
    """One piece of a message. `language` is of code; `pointer` is that of an attachment, or an address."""

    kind: str
    text: str
    language: str = ""
    pointer: str = ""


def text_of(node: Node | dict[str, Any]) -> list[Part]:
    """The parts of a node (or of its `data`); an empty list for a node that only holds the tree together."""
    data = node.data if isinstance(node, Node) else node
    message = data.get("message")
    parts: list[Part] = []
    if isinstance(message, dict):
        parts = _parts_of_content(message.get("content"), message)
    return [part for part in parts if part.text or part.pointer]


def _parts_of_content(content: Any, message: dict[str, Any]) -> list[Part]:
    if isinstance(content, str):
        return [Part(TEXT, content)]
    return [Part(TEXT, as_text(part)) for part in as_list(as_dict(content).get("parts")) if isinstance(part, str)]
