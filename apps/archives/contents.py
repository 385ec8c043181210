"""The list of conversations from which the archive's index pages are made.

It is written like a file of the archive, line by line over many batches, sealed like all others, and left out of the ZIP:
titles never lie in a row of the database, and making the index needs no memory that grows with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from apps.archives.rendering import ConversationInfo

NAME = ".contents.jsonl"  # entry names of connectors cannot begin with a dot
MEDIA_TYPE = "application/vnd.habeas.contents"


def line(info: ConversationInfo) -> bytes:
    """Return a conversation's line."""
    value = [
        info.number,
        info.title.encode("utf-8", "replace").decode(),
        info.message_count,
        _text(info.started_at),
        _text(info.updated_at),
        info.file_count,
        info.source.encode("utf-8", "replace").decode(),
    ]
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def parse(raw: bytes) -> ConversationInfo:
    """Return what `line` was made of."""
    number, title, messages, started, updated, files, source = orjson.loads(raw)
    return ConversationInfo(number, title, messages, _moment(started), _moment(updated), files, source)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
