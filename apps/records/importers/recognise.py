"""Tell the format of one JSON value by what is in it, never by the name of its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from .documents import WRAPPER_KEYS
from .formats import chatgpt, claude, librechat, openai_chat, openai_objects, openwebui, sharegpt
from .types import ParsedConversation


class Format(Protocol):
    NAME: str

    def matches(self, value: Any) -> bool: ...

    def identify(self, value: Any) -> str: ...

    def parse(self, value: Any) -> ParsedConversation: ...


JSON_FORMATS = cast(  # the most telling shape first
    Sequence[Format], (chatgpt, claude, openwebui, librechat, openai_objects, sharegpt, openai_chat)
)


def format_of(value: Any, formats: Sequence[Format] = JSON_FORMATS) -> Format | None:
    """The format of one conversation, or None if this is none."""
    return next((candidate for candidate in formats if candidate.matches(value)), None)


def unwrap(value: Any, formats: Sequence[Format] = JSON_FORMATS) -> list[Any] | None:
    """The conversations inside an object such as {"conversations": […]} or {"object": "list", "data": […]}."""
    if not isinstance(value, dict):
        return None
    for key in WRAPPER_KEYS:
        items = value.get(key)
        if isinstance(items, list) and any(format_of(item, formats) for item in items):
            return items
    return None
