"""Messages as CSV (RFC 4180) that a spreadsheet cannot take for formulas (CWE-1236).

A cell that begins like a formula gets an apostrophe in front, which changes it: conversations.json is the exact copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC

from apps.archives.html import encode
from apps.archives.labels import labels
from apps.archives.rendering import ConversationInfo, Turn

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # the full-width ones count as formulas in East Asian spreadsheets


def header_row(language: str) -> bytes:
    """Return the first line, with the mark by which spreadsheets know UTF-8."""
    return encode("\ufeff" + _row(labels(language).csv_columns))


def message_rows(info: ConversationInfo, turns: Iterable[Turn]) -> Iterator[bytes]:
    """Yield a line for each message."""
    for turn in turns:
        text = "\n".join([part.text for part in turn.parts if part.text])
        files = " ".join([part.href for part in turn.parts if part.href and part.kind != "link"])
        when = (
            turn.created_at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
            if turn.created_at
            else ""
        )
        follows = turn.number - 1 if turn.follows is None else turn.follows
        cells = (
            str(info.number),
            info.title,
            str(turn.number),
            str(follows or ""),
            turn.role,
            turn.author,
            when,
            text,
            files,
        )
        yield encode(_row(cells))


def cell(value: str) -> str:
    """Quote a cell, harmless for spreadsheets."""
    value = value.replace("\0", "")
    if value.startswith(_FORMULA):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"'


def _row(cells: Iterable[str]) -> str:
    return ",".join([cell(value) for value in cells]) + "\r\n"
