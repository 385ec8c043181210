"""LibreChat's export of a conversation: messages in a flat list linked by parentMessageId, or nested in `children`."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from .. import blocks
from ..building import Builder
from ..errors import BadConversation
from ..types import ParsedConversation
from ..values import as_dict, as_id, as_list, as_role, as_text, as_time, content_id

NAME = "librechat"
_ROOT = "00000000-0000-0000-0000-000000000000"  # the parent of a first message


def matches(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if "conversationId" in value and ("messages" in value or "messagesTree" in value):
        return True
    messages = value.get("messages")
    return isinstance(messages, list) and any("messageId" in as_dict(message) for message in messages[:5])


def identify(value: dict[str, Any]) -> str:
    return as_id(value.get("conversationId")) or content_id(value)


def parse(value: dict[str, Any]) -> ParsedConversation:
    """Read every branch; raises BadConversation without messages."""
    messages = value.get("messages") or value.get("messagesTree")
    if not isinstance(messages, list):
        raise BadConversation(_("It has no list of messages."))
    builder = Builder(NAME)
    is_tree = any("children" in as_dict(message) for message in messages)
    waiting: list[tuple[Any, str | None]] = [(message, None) for message in reversed(messages)]
    while waiting:
        item, above = waiting.pop()
        message = as_dict(item)
        node_id = _add(builder, message, item, above, is_tree=is_tree)
        waiting += [(child, node_id) for child in reversed(as_list(message.get("children")))]
    return builder.finish(
        identify(value),
        title=value.get("title"),
        started_at=as_time(value.get("createdAt")),
        updated_at=as_time(value.get("updatedAt")),
        original={key: item for key, item in value.items() if key not in ("messages", "messagesTree")},
    )


def _add(builder: Builder, message: dict[str, Any], item: Any, above: str | None, *, is_tree: bool) -> str:
    parent = as_id(message.get("parentMessageId"))
    if not parent:
        parent = (above if is_tree else builder.chain()) or ""
    own = {key: part for key, part in message.items() if key != "children"} if message else item
    return builder.add(
        as_id(message.get("messageId")),
        None if parent == _ROOT else parent,
        _role(message),
        _parts(message),
        created_at=as_time(message.get("createdAt")),
        original=own,
        model=as_text(message.get("model")),
    )


def _role(message: dict[str, Any]) -> str:
    is_user = message.get("isCreatedByUser")
    if isinstance(is_user, bool):
        return "user" if is_user else "assistant"
    return as_role(message.get("role") or message.get("sender"))


def _parts(message: dict[str, Any]) -> list[Any]:
    text = as_text(message.get("text"))
    parts = blocks.parts_of(message.get("content")) or ([text] if text else [])
    for item in as_list(message.get("files")) + as_list(message.get("attachments")):
        about = as_dict(item)
        pointer = about.get("filepath") or about.get("file_id")
        name = about.get("filename")
        if as_text(about.get("type")).startswith("image/"):
            parts.append(blocks.image(as_text(pointer), as_text(name)))
        elif about:
            parts.append(blocks.file(name, media_type=about.get("type"), text=about.get("text"), pointer=pointer))
    return parts
