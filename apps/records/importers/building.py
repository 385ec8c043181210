"""Turn another format's messages into nodes of a ChatGPT export, each with the original object kept whole."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from .limits import MAX_ATTACHMENTS_PER_PART
from .trees import latest_leaf, node_data, sound_tree
from .types import Node, ParsedAttachment, ParsedConversation
from .values import as_title

ORIGINAL = "habeas_original"  # in a message's metadata, and in the header
SOURCE_KEY = "habeas_source"  # in the header: the format that the conversation first came in


class Builder:
    """Collects the messages of one conversation."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.drafts: list[Node] = []
        self.attachments: dict[str, ParsedAttachment] = {}

    def add(
        self,
        node_id: str,
        parent: str | None,
        role: str,
        parts: list[Any],
        *,
        created_at: datetime | None = None,
        original: Any = None,
        model: str = "",
        name: str = "",
    ) -> str:
        """Add a message; a missing id is made from its place. Returns the id."""
        node_id = node_id or f"message-{len(self.drafts) + 1}"
        metadata: dict[str, Any] = {"model_slug": model} if model else {}
        if original is not None:
            metadata[ORIGINAL] = original
        message: dict[str, Any] = {
            "id": node_id,
            "author": {"role": role, "name": name or None, "metadata": {}},
            "create_time": created_at.timestamp() if created_at else None,
            "update_time": None,
            "content": self._content(parts),
            "status": "finished_successfully",
            "end_turn": None,
            "weight": 1.0,
            "metadata": metadata,
            "recipient": "all",
            "channel": None,
        }
        self.drafts.append(Node(node_id, parent or None, role, created_at, node_data(node_id, parent or None, message)))
        return node_id

    def chain(self) -> str | None:
        """The message that the next one answers, where a format only gives an order."""
        return self.drafts[-1].id if self.drafts else None

    def finish(
        self,
        external_id: str,
        *,
        title: Any = "",
        started_at: datetime | None = None,
        updated_at: datetime | None = None,
        current: str = "",
        original: dict[str, Any] | None = None,
    ) -> ParsedConversation:
        """The conversation; `original` is what the format says of it as a whole, without its messages."""
        nodes = sound_tree(self.drafts)
        times = [node.created_at for node in nodes if node.created_at]
        started_at = started_at or min(times, default=None)
        updated_at = updated_at or max(times, default=None) or started_at
        is_known = any(node.id == current for node in nodes)
        title = as_title(title)
        header: dict[str, Any] = {
            "title": title,
            "create_time": started_at.timestamp() if started_at else None,
            "update_time": updated_at.timestamp() if updated_at else None,
            "current_node": current if is_known else latest_leaf(nodes),
            "conversation_id": external_id,
            SOURCE_KEY: self.source,
            ORIGINAL: original or {},
        }
        attachments = list(self.attachments.values())
        return ParsedConversation(external_id, title, started_at, updated_at, header, nodes, attachments, self.source)

    def _content(self, parts: list[Any]) -> dict[str, Any]:
        parts = [self._take_inline(part) for part in parts]
        is_text = all(isinstance(part, str) for part in parts)
        return {"content_type": "text" if is_text else "multimodal_text", "parts": parts}

    def _take_inline(self, part: Any) -> Any:
        """A picture that is written into the message itself becomes an attachment."""
        if not isinstance(part, dict) or not str(part.get("asset_pointer", "")).startswith("data:"):
            return part
        attachment = _inline_attachment(part["asset_pointer"])
        if attachment is None or len(self.attachments) >= MAX_ATTACHMENTS_PER_PART:
            return {**part, "asset_pointer": ""}
        self.attachments.setdefault(attachment.pointer, attachment)
        return {**part, "asset_pointer": attachment.pointer, "size_bytes": attachment.size}


def _inline_attachment(address: str) -> ParsedAttachment | None:
    """The content of a data: address (RFC 2397); None if it is not one."""
    head, comma, body = address.partition(",")
    if not comma:
        return None
    try:
        data = base64.b64decode(body, validate=False) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return None
    if not data:
        return None
    media_type = head[5:].split(";")[0].lower()[:100] or "application/octet-stream"
    extension = media_type.rpartition("/")[2].split("+")[0]
    digest = hashlib.sha256(data).hexdigest()

    def read() -> Iterator[bytes]:
        yield data

    name = f"{digest[:8]}.{extension if extension.isalnum() else 'bin'}"
    return ParsedAttachment(name, media_type, f"inline://{digest}", read, len(data))
