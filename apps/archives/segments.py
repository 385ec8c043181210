"""Sealed segments: what each is bound to, and reading parts of them."""

from __future__ import annotations

from typing import IO, Any
from uuid import UUID

from apps.archives import objects
from apps.archives.errors import DamagedArchive
from apps.archives.models import Archive, Segment
from apps.sealing.aead import associated_data
from apps.sealing.errors import DecryptionError
from apps.sealing.streams import read_range, sealed_size

BLOCK = 1024 * 1024  # opened at once


def owner_of(archive: Archive) -> UUID:
    """Return the id under which an archive's objects lie."""
    return archive.subject_id or archive.request_id


def context_of(segment: Segment) -> bytes:
    """Return what a segment is bound to: no two segments can be swapped, nor those of a lost claim slipped in."""
    return associated_data(
        "habeas archive segment v1", segment.archive_id, segment.step_id, segment.number, segment.token
    )


class SegmentReader:
    """Reads parts of segments, one segment open at a time and one block in memory. `key` may be replaced or taken away."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._segment: Segment | None = None
        self._file: IO[Any] | None = None
        self._block_start = 0
        self._block = b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._segment, self._file, self._block = None, None, b""

    def read(self, segment: Segment, start: int, length: int) -> bytes:
        """Return up to `length` plain bytes from `start`, at least one; at most to the end of a block."""
        if self._segment is None or self._segment.pk != segment.pk:
            self.close()
            self._segment, self._file = segment, objects.open_object(segment.object_name)
        if not self._block_start <= start < self._block_start + len(self._block):
            self._block_start = start - start % BLOCK
            self._block = self._unseal(segment, self._block_start)
        offset = start - self._block_start
        found = self._block[offset : offset + length]
        if not found:
            raise DamagedArchive("a segment is shorter than its row says")
        return found

    def _unseal(self, segment: Segment, start: int) -> bytes:
        try:
            parts = read_range(
                self.key,
                self._read_sealed,
                context=context_of(segment),
                sealed_size=sealed_size(segment.size),
                start=start,
                stop=min(start + BLOCK, segment.size),
            )
            return b"".join(parts)
        except DecryptionError as error:
            raise DamagedArchive(f"segment {segment.pk} does not open: {error}") from None

    def _read_sealed(self, offset: int, length: int) -> bytes:
        if self._file is None:
            raise DamagedArchive("no segment is open")
        return objects.read(self._file, offset, length)
