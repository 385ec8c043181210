"""Cutting a value into parts that a row or a document can hold: servers refuse large packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PART_SIZE = 2 * 1024 * 1024  # MariaDB takes 16 MiB a packet, MongoDB 16 MiB a document


def in_parts(chunks: Iterable[bytes], *, is_text: bool) -> Iterator[bytes]:
    """Yield parts of at most about PART_SIZE, at least one; of text none ends within a character."""
    waiting = b""
    count = 0
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= PART_SIZE:
            end = _boundary(waiting, PART_SIZE) if is_text else PART_SIZE
            yield waiting[:end]
            waiting, count = waiting[end:], count + 1
    if waiting or not count:
        yield waiting


def _boundary(data: bytes, end: int) -> int:
    while end < len(data) and data[end] & 0xC0 == 0x80:  # UTF-8: a byte that goes on with a character
        end -= 1
    return end
