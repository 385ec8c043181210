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
    return encode("\ufeff" + ",".join([cell(name) for name in labels(language).csv_columns]) + "\r\n")


def message_rows(info: ConversationInfo, turns: Iterable[Turn]) -> Iterator[bytes]:
    """Yield a line for each message."""
    title = cell(info.title)
    for turn in turns:
        text = "\n".join([part.text for part in turn.parts if part.text])
        files = " ".join([part.href for part in turn.parts if part.href and part.kind != "link"])
        when = turn.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if turn.created_at else ""
        follows = turn.number - 1 if turn.follows is None else turn.follows
        who = f"{cell(turn.role)},{cell(turn.author)}"
        yield encode(f"{info.number},{title},{turn.number},{follows or ''},{who},{when},{cell(text)},{cell(files)}\r\n")


def cell(value: str) -> str:
    """Quote a cell, harmless for spreadsheets."""
    if not value:
        return ""
    if "\0" in value:
        value = value.replace("\0", "")
    if value.startswith(_FORMULA):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"'
