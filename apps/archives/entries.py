"""Conversations as entries of an archive, in every format that was asked for.

A connector hands over slices of up to 500 messages, in the order in which they are shown, and passes the entries on:

    for conversation …:
        for slice …:
            yield from slice_entries(part, formats=…, language=…, cursor=lambda done: f"{id}:{slice}:{done}", skip=…)
    yield from closing_entries(formats=…, language=…, is_empty=…, cursor=…, skip=…)

`cursor(n)` is the cursor that means "n entries of this slice are written"; `skip` is that n when an export goes on there.
conversations.json has the shape of a ChatGPT export: an array of conversations, each with its whole tree in `mapping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apps.archives import contents
from apps.archives.csv import header_row, message_rows
from apps.archives.pages import render_page
from apps.archives.rendering import CONVERSATIONS_JSON, MESSAGES_CSV, ConversationInfo, Turn, page_name, text_name
from apps.archives.text import render_text
from apps.locations.contract import Entry

FORMATS = ("html", "json", "txt", "csv")

_JSON = "application/json"
_CSV = "text/csv; charset=utf-8"
_TXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"


@dataclass
class Slice:
    """Up to 500 messages of one conversation (rendering.MESSAGES_PER_PAGE); the last slice may hold none.

    `nodes`: the mapping nodes of these messages and of whatever else belongs there, as (id, JSON bytes). `header`: every
    other field of the conversation's object, JSON values; only used in the first slice.
    """

    info: ConversationInfo
    turns: Sequence[Turn]
    nodes: Iterable[tuple[str, bytes]]
    header: dict[str, Any]
    number: int = 1  # of the slice, from 1: the page
    is_last: bool = True

    @property
    def is_first(self) -> bool:
        return self.number == 1


def slice_entries(
    part: Slice,
    *,
    formats: Sequence[str],
    language: str,
    is_first_conversation: bool,
    cursor: Callable[[int], str],
    skip: int = 0,
) -> Iterator[Entry]:
    """Yield the entries of one slice; the last one of a conversation's last slice counts the conversation as done."""
    entries = list(_entries(part, formats, language, is_first_conversation))
    for done, entry in enumerate(entries, 1):
        entry.cursor = cursor(done)
        entry.count = 1 if part.is_last and done == len(entries) else 0
        if done > skip:
            yield entry


def closing_entries(
    *, formats: Sequence[str], language: str, is_empty: bool, cursor: Callable[[int], str], skip: int = 0
) -> Iterator[Entry]:
    """Yield the last pieces of the files that all conversations share; `is_empty`: there was no conversation."""
    entries = [Entry(contents.NAME, contents.MEDIA_TYPE, (), "", part="last", count=0)]
    if "json" in formats:
        end = b"[]\n" if is_empty else b"\n]\n"
        entries.append(Entry(CONVERSATIONS_JSON, _JSON, (end,), "", part="last", count=0))
    if "csv" in formats:
        rows = (header_row(language),) if is_empty else ()
        entries.append(Entry(MESSAGES_CSV, _CSV, rows, "", part="last", count=0))
    for done, entry in enumerate(entries, 1):
        entry.cursor = cursor(done)
        if done > skip:
            yield entry


def _entries(part: Slice, formats: Sequence[str], language: str, is_first_conversation: bool) -> Iterator[Entry]:
    info, starts = part.info, is_first_conversation and part.is_first
    if "html" in formats:
        page = render_page(info, part.turns, page=part.number, language=language)
        yield Entry(page_name(info.number, part.number), _HTML, page, "")
    if "txt" in formats:
        text = render_text(info, part.turns, first=part.is_first, language=language)
        yield Entry(text_name(info.number), _TXT, text, "", part="last" if part.is_last else "piece")
    if "csv" in formats:
        yield Entry(MESSAGES_CSV, _CSV, _rows(part, starts, language), "", part="piece")
    if "json" in formats:
        yield Entry(CONVERSATIONS_JSON, _JSON, conversation_json(part, is_first_of_all=starts), "", part="piece")
    if part.is_last:
        yield Entry(contents.NAME, contents.MEDIA_TYPE, (contents.line(info),), "", part="piece")


def _rows(part: Slice, starts: bool, language: str) -> Iterator[bytes]:
    if starts:
        yield header_row(language)
    yield from message_rows(part.info, part.turns)


def conversation_json(part: Slice, *, is_first_of_all: bool) -> Iterator[bytes]:
    """Yield a slice of a conversation's object, as an item of the array that conversations.json is.

    The object's other fields come first, `mapping` last, so that it can go on in the next slice.
    """
    if part.is_first:
        header = orjson.dumps({name: value for name, value in part.header.items() if name != "mapping"})[1:-1]
        yield (b"[\n{" if is_first_of_all else b",\n{") + (header + b"," if header else b"") + b'"mapping":{'
    separator = b"" if part.is_first else b","
    for name, node in part.nodes:
        yield separator + orjson.dumps(name) + b":" + node
        separator = b","
    if part.is_last:
        yield b"}}"
