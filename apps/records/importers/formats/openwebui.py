"""Open WebUI's export: a list of chats with `chat.history.messages`, a tree by parentId."""

from __future__ import annotations

from typing import Any

from .. import blocks
from ..building import Builder
from ..types import ParsedConversation
from ..values import as_dict, as_id, as_list, as_role, as_text, as_time, content_id

NAME = "openwebui"


def matches(value: Any) -> bool:
    return isinstance(value, dict) and bool(_messages(_chat(value)))


def identify(value: dict[str, Any]) -> str:
    return as_id(value.get("id")) or as_id(_chat(value).get("id")) or content_id(value)


def parse(value: dict[str, Any]) -> ParsedConversation:
    """Read the tree, or the plain list of messages of old exports."""
    chat = _chat(value)
    builder = Builder(NAME)
    for node_id, item in _messages(chat):
        message = as_dict(item)
        parent = message.get("parentId") if "parentId" in message else builder.chain()
        builder.add(
            node_id or as_id(message.get("id")),
            as_id(parent),
            as_role(message.get("role")),
            _parts(message),
            created_at=as_time(message.get("timestamp")),
            original=item,
            model=as_text(message.get("model")),
        )
    history = as_dict(chat.get("history"))
    return builder.finish(
        identify(value),
        title=value.get("title") or chat.get("title"),
        started_at=as_time(value.get("created_at") or chat.get("timestamp")),
        updated_at=as_time(value.get("updated_at")),
        current=as_id(history.get("currentId")),
        original=_without_messages(value, chat),
    )


def _chat(value: dict[str, Any]) -> dict[str, Any]:
    """The chat inside its row of the database, or a chat on its own."""
    return as_dict(value.get("chat")) or (value if "history" in value else {})


def _messages(chat: dict[str, Any]) -> list[tuple[str, Any]]:
    history = chat.get("history")
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(tree, dict) and tree:
        return list(tree.items())
    return [("", message) for message in as_list(chat.get("messages"))]


def _parts(message: dict[str, Any]) -> list[Any]:
    parts = [part for part in blocks.parts_of(message.get("content")) if part != ""]
    if not parts:
        for item in as_list(message.get("output")):
            about = as_dict(item)
            parts += blocks.parts_of(about["content"] if about.get("type") == "message" else item)
    for item in as_list(message.get("files")):
        about = as_dict(item)
        pointer = about.get("url") or about.get("id")
        if about.get("type") == "image":
            parts.append(blocks.image(as_text(pointer), as_text(about.get("name"))))
        elif about:
            text = as_dict(as_dict(about.get("file")).get("data")).get("content")
            parts.append(blocks.file(about.get("name"), media_type=about.get("type"), text=text, pointer=pointer))
    return parts


def _without_messages(value: dict[str, Any], chat: dict[str, Any]) -> dict[str, Any]:
    """What the export says of the chat itself. The list `messages` only repeats one branch of the tree."""
    head = {key: item for key, item in chat.items() if key not in ("history", "messages")}
    if isinstance(chat.get("history"), dict):
        head["history"] = {key: item for key, item in chat["history"].items() if key != "messages"}
    return head if chat is value else {**value, "chat": head}
