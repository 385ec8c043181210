"""Find where each conversation of a JSON file begins and ends, without parsing it and without holding the file.

Only brackets are looked at one by one; text and strings between them are passed over by one regular expression with
possessive repeats, which neither backtracks nor keeps state. What a span contains is for a JSON parser to judge.

Faster still: conversations of one file begin alike, so the next beginning is searched for, and if what lies before it
parses as one value, it is one; a JSON value has only one end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .limits import CHUNK_BYTES, MAX_CONVERSATION_BYTES, MAX_FILE_DEPTH, MIB

_PASS_OVER = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_IN_STRING = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OPENING = b"{["
_BEGINNING = re.compile(rb'\}\s{0,32},\s{0,32}\{\s{0,32}"[^"\\]{1,64}"\s{0,4}:')
_MAX_GUESS_BYTES = 4 * MIB
_MAX_WRONG_GUESSES = 10  # then this file's conversations do not begin alike
_HOPELESS_DEPTH = 100_000  # nothing but opening brackets: not worth going on
_SEPARATOR_BYTES = 256  # one may lie across two reads
_BETWEEN = b" \t\r\n,\x00"


@dataclass(slots=True)
class Span:
    """One value of the file. `raw` is empty when `problem` says why it was not kept: large, deep, cut off, junk.

    `value` is there if the value had to be parsed to find its end.
    """

    offset: int
    length: int
    raw: bytes
    problem: str = ""
    value: dict[str, Any] | None = None


class Splitter:
    """Yields the values of a JSON document: the elements of the outermost arrays (`level` 1), or whole values (0)."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        level: int,
        offset: int = 0,
        stop_at_close: bool = False,
        max_bytes: int = MAX_CONVERSATION_BYTES,
        parse: Callable[[bytes], dict[str, Any] | None] | None = None,
    ) -> None:
        """`parse` gives the object that some bytes are, or None if they are not exactly one; without it no guesses."""
        self._read = read
        self._level = level
        self._stop_at_close = stop_at_close
        self._max_bytes = max_bytes
        self._parse = parse
        self._beginning = b""  # of a conversation, with the end of the one before it
        self._wrong_guesses = 0
        self._buffer = bytearray()
        self._base = offset  # offset in the file of the buffer's first byte
        self._position = 0
        self._last_start = 0  # where the last span began, while it is still in the buffer
        self._at_end = False

    def __iter__(self) -> Iterator[Span]:
        is_inside = self._level == 0
        while True:
            self._forget()
            junk = self._skip_to_bracket()
            if junk is not None:
                yield junk
            if self._position >= len(self._buffer):
                return
            byte = self._buffer[self._position]
            if byte not in _OPENING:
                if self._level == 1:
                    is_inside = False
                self._position += 1
                if self._stop_at_close:
                    return
            elif not is_inside and byte == ord("["):
                is_inside = True
                self._position += 1
            else:
                yield self._guessed_span() or self._span()

    def last_bytes(self) -> bytes:
        """The beginning of the last span, as far as it is still held."""
        return bytes(self._buffer[self._last_start : self._last_start + 256])

    def resync(self, separator: re.Pattern[bytes]) -> bool:
        """After a span that would not parse: go on at the next `separator` behind its beginning, or at the end.

        A missing quote turns text into structure and back, so that the span may have swallowed others, and nothing
        after it can be trusted. False if one stands just where the span ended, which most likely is its real end.
        """
        if len(self._buffer) - self._position < _SEPARATOR_BYTES:
            self._fill()
        end = self._position
        found = separator.search(self._buffer, min(self._last_start + 1, len(self._buffer)))
        while not found:
            self._position = max(self._last_start + 1, len(self._buffer) - _SEPARATOR_BYTES)
            self._forget()
            if not self._fill():
                self._position = len(self._buffer)
                return True
            found = separator.search(self._buffer)
        self._position = found.start() + 1
        return self._position != end

    def _forget(self) -> None:
        del self._buffer[: self._position]
        self._base += self._position
        self._position = self._last_start = 0

    def _fill(self) -> bool:
        if self._at_end:
            return False
        chunk = self._read(CHUNK_BYTES)
        self._buffer += chunk
        self._at_end = not chunk
        return bool(chunk)

    def _skip_to_bracket(self) -> Span | None:
        """Move to the next bracket; what lies before it, if it is more than commas and spaces, is junk."""
        offset, length, is_junk = self._base, 0, False
        while True:
            end = self._pass_over(self._position)
            is_junk = is_junk or bool(self._buffer[self._position : end].strip(_BETWEEN))
            length += end - self._position
            self._position = end
            if end < len(self._buffer) and self._buffer[end] != _QUOTE:
                break
            if end < len(self._buffer) and len(self._buffer) - end > self._max_bytes:
                self._position = len(self._buffer)  # a string without an end
                is_junk = True
            self._forget()
            if not self._fill():
                is_junk = is_junk or bool(self._buffer.strip(_BETWEEN))
                self._position = len(self._buffer)
                break
        return Span(offset, length, b"", "junk") if is_junk else None

    def _pass_over(self, position: int) -> int:
        match = _PASS_OVER.match(self._buffer, position)
        return match.end() if match else position

    def _guessed_span(self) -> Span | None:
        """The value up to where the next conversation seems to begin, if that is a whole value."""
        start = searched = self._position
        if not self._beginning or self._parse is None or self._wrong_guesses > _MAX_WRONG_GUESSES:
            return None
        while (end := self._buffer.find(self._beginning, searched)) < 0:
            searched = max(start, len(self._buffer) - len(self._beginning))
            if len(self._buffer) - start > _MAX_GUESS_BYTES or not self._fill():
                return None
        raw = bytes(self._buffer[start : end + 1])
        value = self._parse(raw)
        if value is None:
            self._wrong_guesses += 1
            return None
        self._wrong_guesses = 0
        self._last_start, self._position = start, end + 1
        return Span(self._base + start, len(raw), raw, value=value)

    def _learn_beginning(self) -> None:
        match = _BEGINNING.match(self._buffer, self._position - 1)
        self._beginning = match[0] if match and self._level == 1 else b""

    def _span(self) -> Span:
        """Read from an opening bracket to the one that closes it."""
        self._last_start = self._position
        offset, position, depth = self._base + self._position, self._position, 0
        problem = ""
        while True:
            position = self._pass_over(position)
            if self._is_large(position):
                if self._beginning:  # a bracket or quotation mark may be missing: `resync` finds the next conversation
                    self._position = position
                    return Span(offset, self._base + position - offset, b"", "large")
                position = self._drop(position)
                problem = "large"
            if position == len(self._buffer):
                if self._fill():
                    continue
                return self._cut_off(offset, problem)
            byte = self._buffer[position]
            if byte == _QUOTE:
                position, is_large = self._behind_string(position)
                if position < 0:
                    return self._cut_off(offset, problem)
                problem = "large" if is_large else problem
                continue
            position += 1
            depth += 1 if byte in _OPENING else -1
            if depth > MAX_FILE_DEPTH:
                problem = problem or "deep"
            if depth > _HOPELESS_DEPTH:
                self._at_end = True
                return self._cut_off(offset, problem)
            if depth == 0:
                break
        self._position = position
        if self._parse and not self._beginning:
            self._learn_beginning()
        raw = b"" if problem else bytes(self._buffer[self._last_start : position])
        return Span(offset, self._base + position - offset, raw, problem)

    def _is_large(self, position: int) -> bool:
        return position - self._last_start > self._max_bytes

    def _drop(self, position: int) -> int:
        """Forget the beginning of a span that is too large to be kept."""
        self._position = position
        self._forget()
        return 0

    def _cut_off(self, offset: int, problem: str) -> Span:
        self._position = len(self._buffer)
        return Span(offset, self._base + len(self._buffer) - offset, b"", problem or "cut off")

    def _behind_string(self, position: int) -> tuple[int, bool]:
        """Behind the closing quote of a string that goes beyond the buffer, -1 if the file ends first; was it large?"""
        position += 1
        is_large = False
        while True:
            match = _IN_STRING.match(self._buffer, position)
            position = match.end() if match else position
            if position < len(self._buffer) and self._buffer[position] == _QUOTE:
                return position + 1, is_large
            if self._is_large(position) and not self._beginning:
                position, is_large = self._drop(position), True
            elif self._is_large(position) and len(self._buffer) - self._last_start > 2 * self._max_bytes:
                return len(self._buffer), True
            if not self._fill():
                return -1, is_large
