"""Read a JSON file value by value: one array, one value a line, values one after another, or a list inside an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from .encodings import open_as_utf8
from .errors import BadConversation
from .limits import CHUNK_BYTES, HEAD_BYTES, MAX_CONVERSATION_BYTES, MIB
from .parsing import parse_if_whole, parse_json, too_deep
from .sources import Source
from .splitter import Span, Splitter

MAX_REREAD_BYTES = 1024 * MIB  # after damaged places; some ten seconds
WRAPPER_KEYS = ("conversations", "data", "chats", "items", "results")
_WRAPPER_FROM_BYTES = 4 * MIB  # smaller ones are parsed whole
_MAX_KEYS_TRIED = 20
_BLANK = b" \t\r\n\x0b\x0c\x00"
_FIRST_KEY = re.compile(rb'\s*\{\s*("[^"\\]{1,64}"\s*:)')
_NUMBERS = re.compile(rb"\[\s*(?:-?[\d.]+|null|true|false)\s*,")
_WRAPPED_LIST = re.compile(rb'"(?:%s)"\s*:\s*\[' % "|".join(WRAPPER_KEYS).encode())


@dataclass(frozen=True)
class Value:
    """One value of the file and where it stands, or `problem`: why it could not be read."""

    offset: int
    length: int
    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class Document:
    """A JSON text. `level` 1: the elements of the outermost array; 0: whole values; `is_lines`: one value a line."""

    source: Source
    encoding: str
    level: int
    is_lines: bool = False
    list_offset: int = 0  # where the list of a wrapping object begins

    def values(self) -> Iterator[Value]:
        """Every value in turn; a damaged one does not hide those after it."""
        reader = open_as_utf8(self.source, self.encoding)
        try:
            yield from self._line_values(reader.read) if self.is_lines else self._split_values(reader.read)
        finally:
            reader.close()

    def reread(self, places: list[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes at these (offset, length), which must be in order and may repeat."""
        reader = open_as_utf8(self.source, self.encoding)
        position, last, raw = 0, (-1, 0), b""
        try:
            for offset, length in places:
                if (offset, length) != last:
                    _read_exactly(reader.read, offset - position, keep=False)
                    raw = _read_exactly(reader.read, length)
                    position, last = offset + length, (offset, length)
                yield raw
        finally:
            reader.close()

    def _split_values(self, read: Callable[[int], bytes]) -> Iterator[Value]:
        _read_exactly(read, self.list_offset, keep=False)
        splitter = Splitter(
            read,
            level=self.level,
            offset=self.list_offset,
            stop_at_close=bool(self.list_offset),
            parse=parse_if_whole,
        )
        separator: re.Pattern[bytes] | None = None
        reread = 0
        for span in splitter:
            value = _value(span)
            if not value.problem:
                separator = separator or _separator(span.raw)
            yield value
            if value.problem and span.problem != "junk":
                separator = separator or _separator(splitter.last_bytes())
                if separator and splitter.resync(separator):
                    reread += span.length
                if reread > MAX_REREAD_BYTES:
                    yield Value(span.offset, 0, problem=_("Too many damaged places: the rest was not read."))
                    return

    def _line_values(self, read: Callable[[int], bytes]) -> Iterator[Value]:
        for offset, line in lines(read):
            if line is None:
                yield Value(offset, 0, problem=_problem("large"))
            elif line.strip(_BLANK):
                yield _value(Span(offset, len(line), line))


def json_document(source: Source, encoding: str) -> Document | None:
    """How to read this text as JSON; None if it does not look like JSON."""
    start = _head(source, encoding)
    text = start.lstrip(_BLANK)
    is_list = text[1:].lstrip(_BLANK)[:1] in (b"{", b"[", b"]", b'"', b",") or _NUMBERS.match(text)
    if text[:1] == b"[" and is_list:
        return Document(source, encoding, level=1)
    if text[:1] != b"{" or text[1:].lstrip(_BLANK)[:1] not in (b'"', b"}", b""):
        return None
    if _is_lines(source, encoding):
        return Document(source, encoding, level=0, is_lines=True)
    list_offset = _wrapped_list(start) if source.size > _WRAPPER_FROM_BYTES else 0
    return Document(source, encoding, level=1 if list_offset else 0, list_offset=list_offset)


def lines(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(offset, line) for each line; None in place of one that is too long to be held."""
    offset, rest, is_too_long = 0, bytearray(), False
    while chunk := read(CHUNK_BYTES):
        parts = chunk.split(b"\n")
        for part in parts[:-1]:
            rest += part
            yield offset, None if is_too_long else bytes(rest)
            offset += len(rest) + 1
            rest, is_too_long = bytearray(), False
        rest += parts[-1]
        if len(rest) > MAX_CONVERSATION_BYTES:
            offset += len(rest)
            rest, is_too_long = bytearray(), True
    if rest or is_too_long:
        yield offset, None if is_too_long else bytes(rest)


def _value(span: Span) -> Value:
    if span.problem:
        return Value(span.offset, span.length, problem=_problem(span.problem))
    if span.value is not None:
        return Value(span.offset, span.length, value=span.value)
    try:
        return Value(span.offset, span.length, value=parse_json(span.raw))
    except BadConversation as error:
        return Value(span.offset, span.length, problem=str(error))


def _problem(name: str) -> str:
    return {
        "large": _("It is larger than %(limit)s MiB.") % {"limit": MAX_CONVERSATION_BYTES // MIB},
        "deep": too_deep(),
        "cut off": _("The file ends in the middle of it, or a bracket or quotation mark is missing."),
        "junk": _("This is not a conversation, only loose text or numbers."),
    }.get(name, name)


def _separator(raw: bytes) -> re.Pattern[bytes] | None:
    """What stands between two conversations of this file: a bracket, a comma, the key that the first one begins with."""
    key = _FIRST_KEY.match(raw)
    return re.compile(rb"\}\s{0,64},?\s{0,64}(?=\{\s{0,64}" + re.escape(key[1]) + rb")") if key else None


def _head(source: Source, encoding: str) -> bytes:
    reader = open_as_utf8(source, encoding)
    try:
        return _read_exactly(reader.read, HEAD_BYTES)
    finally:
        reader.close()


def _read_exactly(read: Callable[[int], bytes], size: int, *, keep: bool = True) -> bytes:
    """`size` bytes, or fewer at the end of the file."""
    kept = bytearray()
    while size > 0 and (chunk := read(min(size, CHUNK_BYTES))):
        size -= len(chunk)
        if keep:
            kept += chunk
    return bytes(kept)


def _is_lines(source: Source, encoding: str) -> bool:
    """Whether each line is an object of its own: more than one line, and a whole object at the start of one of five."""
    reader = open_as_utf8(source, encoding)
    found = whole = 0
    try:
        for _offset, line in lines(reader.read):
            if line is None or not line.strip(_BLANK):
                continue
            found += 1
            if line[:1] == b"{" and isinstance(_value(Span(0, 0, line)).value, dict):
                whole += 1
            if found >= 5:
                break
    finally:
        reader.close()
    return found > 1 and whole > 0


def _wrapped_list(head: bytes) -> int:
    """Offset of the list of conversations inside an object that is too large to be parsed whole; 0 if there is none."""
    for match in islice(_WRAPPED_LIST.finditer(head), _MAX_KEYS_TRIED):
        if _depth(head[: match.start()]) == 1:
            return match.end() - 1
    return 0


def _depth(head: bytes) -> int:
    """How many brackets are open at the end of these bytes, outside strings."""
    outside = re.sub(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', b"", head)
    return outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
