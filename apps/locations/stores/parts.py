"""A value on its way: in parts that a row or a document can hold, since servers refuse large packets; or as a stream."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from apps.locations.errors import Unavailable
from apps.locations.said import said as _

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


def head_of(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, `size` or a little more unless there are fewer, and an iterator over the rest."""
    rest = iter(chunks)
    head = b""
    while len(head) < size and (chunk := next(rest, None)) is not None:
        head += chunk
    return head, rest


class Reader(io.RawIOBase):
    """Chunks as a stream for an uploader, which reads it once, in parts."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self._at = 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Uploaders that go back to send a part anew have to begin anew."""
        raise Unavailable(_("The place did not take a part of what was written."))

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, less only at the end: a short part would be refused in a multipart upload."""
        parts, have = [self._rest], len(self._rest)
        while size is None or size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        end = len(data) if size is None or size < 0 else size
        self._rest = data[end:]
        self._at += min(end, len(data))
        return data[:end]
