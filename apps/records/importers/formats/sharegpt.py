"""ShareGPT: {id, conversations: [{from, value}]}. Its ids are often numbers of lines, so content decides."""

from __future__ import annotations

from typing import Any

from .. import blocks
from ..building import Builder
from ..types import ParsedConversation
from ..values import as_dict, as_list, as_role, as_time, content_id

NAME = "sharegpt"
_KEYS = ("conversations", "conversation", "items")


def matches(value: Any) -> bool:
    return any(isinstance(item, dict) and "from" in item and "value" in item for item in _messages(value)[:5])


def identify(value: Any) -> str:
    return content_id(value)


def parse(value: Any) -> ParsedConversation:
    about = as_dict(value)
    builder = Builder(NAME)
    for item in _messages(value):
        message = as_dict(item)
        builder.add(
            "",
            builder.chain(),
            as_role(message.get("from")),
            blocks.parts_of(message.get("value")),
            created_at=as_time(message.get("timestamp")),
            original=item,
        )
    return builder.finish(
        identify(value),
        title=about.get("title"),
        original={key: item for key, item in about.items() if key not in _KEYS},
    )


def _messages(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    about = as_dict(value)
    return next((about[key] for key in _KEYS if as_list(about.get(key))), [])
