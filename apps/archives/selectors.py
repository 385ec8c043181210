"""Reading archives."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from apps.archives.errors import ArchiveGone
from apps.archives.layout import extents
from apps.archives.models import Archive, Member, Piece, Segment
from apps.archives.segments import SegmentReader
from apps.archives.zipformat import DEFLATED
from apps.keys.errors import KeyDestroyed
from apps.keys.services import open_key

CHUNK = 256 * 1024  # sent at once: each one costs a change of threads
KEY_SECONDS = 30  # a download re-reads its key this often (DESIGN §2: at least every 60 s)


def archives_of(subject_id: UUID) -> QuerySet[Archive]:
    """All archives of a person, newest first, ended ones too."""
    return Archive.objects.filter(subject_id=subject_id).order_by("-created_at", "-number")


def archives_of_request(request_id: UUID) -> QuerySet[Archive]:
    return Archive.objects.filter(request_id=request_id).order_by("number")


def open_archives(subject_id: UUID) -> QuerySet[Archive]:
    """The archives that the person can still download."""
    return archives_of(subject_id).filter(state=Archive.State.READY, expires_at__gt=timezone.now())


def unserved_archives(subject_id: UUID) -> QuerySet[Archive]:
    """The archives for which an erasure waits: being built, or ready and not yet sent to their end."""
    building = archives_of(subject_id).filter(state=Archive.State.BUILDING)
    return building | open_archives(subject_id).filter(served_at__isnull=True)


def is_readable(archive: Archive, now: datetime | None = None) -> bool:
    """Say whether the archive is published and not expired."""
    expires = archive.expires_at
    return archive.state == Archive.State.READY and expires is not None and expires > (now or timezone.now())


def has_open_files(archive: Archive, step_id: UUID) -> bool:
    """Say whether a step has begun files that it has not ended."""
    return Member.objects.filter(archive=archive, step_id=step_id, is_closed=False).exists()


def open_archive_key(archive: Archive) -> bytes:
    """Return the key; raises ArchiveGone once it is destroyed."""
    if archive.key_id is None:
        raise ArchiveGone("the archive has expired")
    try:
        return open_key(archive.key_id)
    except KeyDestroyed:
        raise ArchiveGone("the archive has expired") from None


def read_range(archive: Archive, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a finished archive from `start` to before `stop`, in chunks of about 256 KiB.

    Raises ArchiveGone, also midway when the key is destroyed meanwhile, and DamagedArchive.
    """
    parts: list[bytes] = []
    size = 0
    for part in _parts(archive, start, min(stop, archive.size or 0)):
        parts.append(part)
        size += len(part)
        if size >= CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _parts(archive: Archive, start: int, stop: int) -> Iterator[bytes]:
    if start >= stop:
        return
    reader = SegmentReader(open_archive_key(archive))
    key_read_at = time.monotonic()
    reached = None
    try:
        for position, extent in extents(archive, start):
            if reached not in {None, position}:
                break  # its rows went while it was read
            reached = position + extent.length
            first, last = max(start - position, 0), min(stop - position, extent.length)
            if extent.segment is None and first < last:
                yield extent.data[first:last]
            while extent.segment is not None and first < last:
                if time.monotonic() - key_read_at > KEY_SECONDS:
                    reader.key, key_read_at = open_archive_key(archive), time.monotonic()
                part = reader.read(extent.segment, extent.start + first, min(last - first, CHUNK))
                yield part
                first += len(part)
            if reached >= stop:
                return
        raise ArchiveGone("the archive has ended while it was read")
    finally:
        reader.close()


def read_member(archive: Archive, member: Member) -> Iterator[bytes]:
    """Yield the content of one file, unpacked, as far as it is written."""
    reader = SegmentReader(open_archive_key(archive))
    inflater = zlib.decompressobj(-15) if member.method == DEFLATED else None
    pieces = Piece.objects.filter(archive=archive, member=member).order_by("number")
    segments = Segment.objects.in_bulk(pieces.values_list("segment_id", flat=True))
    try:
        for piece in pieces.iterator():
            done = 0
            while done < piece.length:
                packed = reader.read(segments[piece.segment_id], piece.start + done, piece.length - done)
                done += len(packed)
                yield from _inflate(inflater, packed) if inflater else (packed,)
    finally:
        reader.close()


def _inflate(inflater: Any, packed: bytes) -> Iterator[bytes]:
    """Yield what is packed, at most 1 MiB at a time however well it was packed."""
    while packed:
        yield inflater.decompress(packed, 1024 * 1024)
        packed = inflater.unconsumed_tail
