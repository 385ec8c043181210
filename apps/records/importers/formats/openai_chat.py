"""Lists of {role, content}: OpenAI's fine-tuning JSONL, a request's `messages`, and what many small programs write."""

from __future__ import annotations

from typing import Any

from ..building import Builder
from ..types import ParsedConversation
from ..values import as_dict, as_id, as_list, as_role, as_text, as_time, content_id
from .openai_objects import message_parts

NAME = "openai-chat"
_BRANCHES = ("preferred_output", "non_preferred_output")  # preference fine-tuning
_LONG_ENOUGH_TO_BE_UNIQUE = 16  # a shorter id may be a line number, the same in two files


def matches(value: Any) -> bool:
    messages = _messages(value)
    if isinstance(value, dict) and not messages:
        return isinstance(value.get("prompt"), str) and isinstance(value.get("completion"), str)
    return bool(messages) and all(isinstance(item, dict) for item in messages) and any(map(_is_message, messages))


def identify(value: Any) -> str:
    own = as_id(value.get("id") or value.get("conversation_id")) if isinstance(value, dict) else ""
    return own if len(own) >= _LONG_ENOUGH_TO_BE_UNIQUE else content_id(value)


def parse(value: Any) -> ParsedConversation:
    about = as_dict(value)
    builder = Builder(NAME)
    messages = _messages(value)
    if not messages:
        messages = [{"role": "user", "content": about["prompt"]}, {"role": "assistant", "content": about["completion"]}]
    for item in messages:
        _add(builder, item, builder.chain())
    asked = builder.chain()
    for key in _BRANCHES:
        above = asked
        for item in as_list(about.get(key)):
            above = _add(builder, item, above)
    used = ("messages", "prompt", "completion", *_BRANCHES)
    return builder.finish(
        identify(value),
        title=about.get("title") or about.get("name"),
        started_at=_time_of(about),
        updated_at=as_time(about.get("updated_at") or about.get("updatedAt")),
        original={key: item for key, item in about.items() if key not in used},
    )


def _messages(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    about = as_dict(value)
    return as_list(about.get("messages")) or as_list(as_dict(about.get("input")).get("messages"))


def _is_message(value: Any) -> bool:
    return "role" in value and any(key in value for key in ("content", "tool_calls", "function_call", "parts"))


def _add(builder: Builder, item: Any, parent: str | None) -> str:
    message = as_dict(item)
    content = message.get("content") if message.get("content") is not None else message.get("parts")
    return builder.add(
        "",
        parent,
        as_role(message.get("role")),
        message_parts({**message, "content": content}),
        created_at=_time_of(message),
        original=item,
        model=as_text(message.get("model")),
        name=as_text(message.get("name")),
    )


def _time_of(value: dict[str, Any]) -> Any:
    keys = ("timestamp", "created_at", "createdAt", "create_time", "created", "time", "date")
    return next((moment for key in keys if (moment := as_time(value.get(key)))), None)
