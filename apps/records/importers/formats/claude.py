"""Claude's data export: conversations.json with `chat_messages`; branches by parent_message_uuid in newer files.

`text` repeats what `content` says, thinking included, so `content` is read where there is any. Both stay in the original.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from .. import blocks
from ..building import Builder
from ..errors import BadConversation
from ..types import ParsedConversation
from ..values import as_dict, as_id, as_list, as_role, as_text, as_time, content_id

NAME = "claude"
_ROOT = "00000000-0000-4000-8000-000000000000"  # the parent of a first message


def matches(value: Any) -> bool:
    return isinstance(value, dict) and "chat_messages" in value


def identify(value: dict[str, Any]) -> str:
    return as_id(value.get("uuid")) or content_id(value)


def parse(value: dict[str, Any]) -> ParsedConversation:
    """Read every message and branch; raises BadConversation without a list of messages."""
    messages = value["chat_messages"]
    if not isinstance(messages, list):
        raise BadConversation(_("It has no list of messages."))
    builder = Builder(NAME)
    for item in messages:
        message = as_dict(item)
        parent = as_id(message.get("parent_message_uuid"))
        builder.add(
            as_id(message.get("uuid")),
            builder.chain() if not parent else (None if parent == _ROOT else parent),
            as_role(message.get("sender")),
            _parts(message),
            created_at=as_time(message.get("created_at")),
            original=item,
        )
    return builder.finish(
        identify(value),
        title=value.get("name"),
        started_at=as_time(value.get("created_at")),
        updated_at=as_time(value.get("updated_at")),
        current=as_id(value.get("current_leaf_message_uuid")),
        original={key: item for key, item in value.items() if key != "chat_messages"},
    )


def _parts(message: dict[str, Any]) -> list[Any]:
    parts = blocks.parts_of(message.get("content"))
    text = as_text(message.get("text"))
    if not parts and text:
        parts = [text]
    for attachment in as_list(message.get("attachments")):
        about = as_dict(attachment)
        parts.append(
            blocks.file(
                about.get("file_name") or about.get("name"),
                media_type=about.get("file_type"),
                text=about.get("extracted_content"),
            )
        )
    for item in as_list(message.get("files")) + as_list(message.get("files_v2")):
        about = as_dict(item)
        name = about.get("file_name") or as_text(item)
        if name and not any(as_dict(part).get("name") == name for part in parts):
            parts.append(blocks.file(name, pointer=about.get("file_uuid")))
    return parts
