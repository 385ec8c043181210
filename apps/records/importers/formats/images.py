"""Pictures without a conversation: screenshots, or the files of an export that no message mentions.

They become a conversation with one message for each file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from .. import blocks
from ..assets import Assets
from ..building import Builder
from ..limits import MAX_ATTACHMENTS_PER_PART
from ..media import is_picture
from ..sources import Source
from ..types import ParsedAttachment, ParsedConversation
from ..values import as_file_name, content_id
from ..zips import Entry

NAME = "images"


def read_picture(source: Source, media_type: str) -> ParsedConversation:
    """One picture, known by the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    for chunk in source.chunks():
        digest.update(chunk)
    pointer = f"attachment://{digest.hexdigest()}"
    name = as_file_name(source.name)
    attachment = ParsedAttachment(name, media_type, pointer, source.chunks, source.size)
    return _conversation([attachment], "sha256:" + digest.hexdigest(), name)


def read_entries(entries: Sequence[Entry], assets: Assets, *, title: str) -> Iterator[ParsedConversation]:
    """The given files of a ZIP, some hundred in each conversation; known by their sizes and CRC-32s together."""
    for start in range(0, len(entries), MAX_ATTACHMENTS_PER_PART):
        part = entries[start : start + MAX_ATTACHMENTS_PER_PART]
        attachments = [
            assets.attachment(entry, pointer=f"attachment://{entry.crc:08x}-{entry.size}-{index}")
            for index, entry in enumerate(part)
        ]
        external_id = content_id([[entry.crc, entry.size] for entry in part])
        number = f" ({start // MAX_ATTACHMENTS_PER_PART + 1})" if len(entries) > MAX_ATTACHMENTS_PER_PART else ""
        yield _conversation(attachments, external_id, title + number)


def _conversation(attachments: list[ParsedAttachment], external_id: str, title: str) -> ParsedConversation:
    builder = Builder(NAME)
    for attachment in attachments:
        if is_picture(attachment.media_type):
            part = blocks.image(attachment.pointer, attachment.name)
        else:
            part = blocks.file(attachment.name, media_type=attachment.media_type, pointer=attachment.pointer)
        builder.add("", builder.chain(), "user", [part])
    conversation = builder.finish(external_id, title=title)
    conversation.attachments = attachments
    return conversation
