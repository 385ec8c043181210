"""Where each byte of the ZIP comes from: headers are made from rows as they are needed, content lies in segments.

The files stand in the order of their ids, then the central directory, then the end records. Every 1,000th file has a mark
with its position, so that any range is found by reading at most 1,000 rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from apps.archives import zipformat
from apps.archives.errors import ArchiveGone
from apps.archives.models import Archive, Mark, Member, Piece, Segment

MARK_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of the ZIP: `data`, or `length` bytes of a segment from `start`."""

    length: int
    data: bytes = b""
    segment: Segment | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's local header begins, and its entry in the central directory (counted from that one's beginning)."""

    offset: int
    central_offset: int


def file_of(member: Member) -> zipformat.File:
    """Return what the headers of a file say."""
    return zipformat.File(member.name.encode(), member.method, member.crc32, member.packed_size, member.size)


def listed_members(archive: Archive, *, start: int = 0) -> Iterator[Member]:
    """Yield the files of the ZIP from the id `start` on, read 1,000 at a time."""
    while True:
        batch = list(Member.objects.filter(archive=archive, is_listed=True, pk__gte=start).order_by("pk")[:MARK_EVERY])
        yield from batch
        if len(batch) < MARK_EVERY:
            return
        start = batch[-1].pk + 1


def place_members(members: Iterable[Member], place: Place) -> Iterator[tuple[Member, Place]]:
    """Yield each file with its place, the first one at `place`."""
    for member in members:
        yield member, place
        place = _after(member, place)


def measure(members: Iterable[Member]) -> tuple[list[tuple[Member, Place]], int, Place]:
    """Return the marks to set, the number of files, and where a further file would stand."""
    marks, count, end = [], 0, Place(0, 0)
    for member, place in place_members(members, end):
        if count % MARK_EVERY == 0:
            marks.append((member, place))
        count, end = count + 1, _after(member, place)
    return marks, count, end


def _after(member: Member, place: Place) -> Place:
    file = file_of(member)
    offset = place.offset + zipformat.local_size(file) + file.packed_size
    return Place(offset, place.central_offset + zipformat.central_size(file, place.offset))


def total_size(count: int, end: Place) -> int:
    """Return the size of a ZIP whose files and directory end at `end`."""
    return end.offset + end.central_offset + len(zipformat.end_records(count, end.central_offset, end.offset))


def extents(archive: Archive, start: int) -> Iterator[tuple[int, Extent]]:
    """Yield the stretches of a finished archive in order, each with its position; the first one holds or precedes `start`."""
    if archive.central_start is None:
        raise ArchiveGone("the archive is not finished")
    if start < archive.central_start:
        yield from _contents(archive, start)
    yield from _directory(archive, archive.central_start, max(0, start - archive.central_start))


def batches(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Yield the files 1,000 at a time."""
    iterator = iter(members)
    while batch := list(islice(iterator, MARK_EVERY)):
        yield batch


def pieces_of(archive: Archive, batch: list[Member]) -> dict[int, list[Piece]]:
    """Return the pieces of consecutive files, in order."""
    found: dict[int, list[Piece]] = defaultdict(list)
    between = Piece.objects.filter(archive=archive, member_id__gte=batch[0].pk, member_id__lte=batch[-1].pk)
    for piece in between.order_by("member_id", "number"):
        found[piece.member_id].append(piece)
    return found


def _contents(archive: Archive, start: int) -> Iterator[tuple[int, Extent]]:
    modified = zipformat.dos_time(archive.created_at)
    segments: dict[int, Segment] = {}
    mark = Mark.objects.filter(archive=archive, offset__lte=start).order_by("-number").first()
    position = mark.offset if mark else 0
    for batch in batches(listed_members(archive, start=mark.member_id if mark else 0)):
        pieces = pieces_of(archive, batch)
        wanted = {piece.segment_id for found in pieces.values() for piece in found}
        segments.update(Segment.objects.in_bulk(wanted - segments.keys()))
        for member in batch:
            header = zipformat.local_header(file_of(member), modified)
            yield position, Extent(len(header), data=header)
            position += len(header)
            for piece in pieces[member.pk]:
                yield position, Extent(piece.length, segment=segments[piece.segment_id], start=piece.start)
                position += piece.length


def _directory(archive: Archive, central_start: int, start: int) -> Iterator[tuple[int, Extent]]:
    modified = zipformat.dos_time(archive.created_at)
    mark = Mark.objects.filter(archive=archive, central_offset__lte=start).order_by("-number").first()
    first, place = (mark.member_id, Place(mark.offset, mark.central_offset)) if mark else (0, Place(0, 0))
    for member, at in place_members(listed_members(archive, start=first), place):
        entry = zipformat.central_header(file_of(member), modified, at.offset)
        yield central_start + at.central_offset, Extent(len(entry), data=entry)
        place = Place(at.offset, at.central_offset + len(entry))
    end = zipformat.end_records(archive.member_count or 0, place.central_offset, central_start)
    yield central_start + place.central_offset, Extent(len(end), data=end)
