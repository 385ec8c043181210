"""OpenAI's API objects as its client dumps them: text_completion, chat.completion, response.

Shapes: openai/openai-openapi 2.3.0. A text_completion does not say what was asked; several choices are branches.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .. import blocks
from ..building import Builder
from ..types import ParsedConversation
from ..values import as_dict, as_id, as_list, as_role, as_text, as_time, content_id

NAME = "openai"
_OBJECTS = ("text_completion", "chat.completion", "response")


def matches(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("object") in _OBJECTS:
        return True
    choices = value.get("choices")
    first = as_dict(choices[0]) if isinstance(choices, list) and choices else {}
    return "message" in first or ("text" in first and "finish_reason" in first)


def identify(value: dict[str, Any]) -> str:
    return as_id(value.get("id")) or content_id(value)


def parse(value: dict[str, Any]) -> ParsedConversation:
    """One object is one conversation: what was asked, where the dump has it, and every answer."""
    created = as_time(value.get("created") or value.get("created_at"))
    builder = Builder(NAME)
    _add_request(builder, value, created)
    asked = builder.chain()
    for choice in as_list(value.get("choices")):
        _add_choice(builder, as_dict(choice), choice, asked, created, as_text(value.get("model")))
    for item in as_list(value.get("output")):
        _add_item(builder, item, "assistant", created, as_text(value.get("model")))
    return builder.finish(
        identify(value),
        title=as_dict(value.get("metadata")).get("title"),
        started_at=created,
        original={key: item for key, item in value.items() if key not in ("choices", "output")},
    )


def _add_request(builder: Builder, value: dict[str, Any], created: datetime | None) -> None:
    instructions = value.get("instructions")
    for item in instructions if isinstance(instructions, list) else [instructions] if instructions else []:
        _add_item(builder, item, "system", created)
    asked = value.get("messages") or value.get("input") or value.get("prompt")
    for item in asked if isinstance(asked, list) else [asked] if asked else []:
        _add_item(builder, item, "user", created)


def _add_choice(
    builder: Builder, choice: dict[str, Any], original: Any, asked: str | None, created: datetime | None, model: str
) -> None:
    message = choice.get("message")
    if isinstance(message, dict):
        role, parts = as_role(message.get("role") or "assistant"), message_parts(message)
    else:
        role, parts = "assistant", [as_text(choice.get("text"))]
    builder.add("", asked, role, parts, created_at=created, original=original, model=model)


def _add_item(builder: Builder, item: Any, role: str, created: datetime | None, model: str = "") -> None:
    """Add one item of a response's input or output, or a message of a chat."""
    about = as_dict(item)
    kind = about.get("type", "message")
    if about and kind == "message":
        role, parts = as_role(about.get("role") or role), message_parts(about)
    else:
        role = "tool" if str(kind).endswith("_output") else role
        parts = blocks.parts_of(item if about or isinstance(item, str) else [item])
    builder.add("", builder.chain(), role, parts, created_at=created, original=item, model=model)


def message_parts(message: dict[str, Any]) -> list[Any]:
    """All that a message of a chat completion says: thoughts, text, refusal, sound, calls of tools."""
    parts: list[Any] = []
    thoughts = as_text(message.get("reasoning_content") or message.get("reasoning"))
    if thoughts:
        parts.append(blocks.thought(thoughts))
    parts += blocks.parts_of(message.get("content"))
    if message.get("refusal"):
        parts.append(as_text(message["refusal"]))
    if isinstance(message.get("audio"), dict):
        parts += blocks.parts_of({"type": "audio", "audio": message["audio"]})
    return parts + blocks.tool_calls(message)
