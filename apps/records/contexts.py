"""The associated data of every sealed value: format, key id, model, field, row. No two values can be swapped (DESIGN §2)."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from apps.sealing.aead import associated_data

FORMAT = "habeas.records.1"


def identity(key_id: UUID, identity_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Identity", "sealed", identity_id)


def conversation(key_id: UUID, conversation_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Conversation", "sealed", conversation_id)


def messages(key_id: UUID, conversation_id: UUID) -> bytes:
    """Return what is the same for all messages of a conversation; `message` adds the position."""
    return associated_data(FORMAT, key_id, "Message", "sealed", conversation_id)


def message(prefix: bytes, position: int) -> bytes:
    return prefix + _place(position)


@lru_cache(maxsize=4096)
def _place(position: int) -> bytes:
    """Most conversations have the same few positions."""
    return associated_data(position)


def attachment(key_id: UUID, attachment_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Attachment", "sealed", attachment_id)


def attachment_file(key_id: UUID, attachment_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Attachment", "object", attachment_id)


def copy(key_id: UUID, conversation_id: UUID, copy_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Copy", "object", conversation_id, copy_id)


def import_name(key_id: UUID, import_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Import", "sealed", import_id)


def import_report(key_id: UUID, import_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Import", "sealed_report", import_id)


def import_file(key_id: UUID, import_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Import", "object", import_id)


def rewrite(key_id: UUID, rewrite_id: UUID) -> bytes:
    return associated_data(FORMAT, key_id, "Rewrite", "sealed", rewrite_id)
