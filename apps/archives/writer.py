"""Writes the entries of one batch of a step into sealed segments.

Packed bytes wait in memory, up to one segment; then every file that is being written ends its piece, and all of it is
sealed and stored as one object. So memory is constant, nothing lies in clear on a disk, small files share a segment, and
any number of files may be open at once. A piece is what one deflater wrote, ended by Z_FULL_FLUSH (the last one of a file
by Z_FINISH): deflate and hash state cannot be stored, so each batch begins with fresh ones, and pieces joined are again
one deflate stream (RFC 1951). The CRC-32 runs on over batches, as a number.

    writer = BatchWriter(archive, step_id, token, folder)
    for entry in …: writer.write(entry); a batch ends when its time is over, or `writer.is_full`
    writer.close()                      # what is still in memory goes to storage; outside any transaction
    with transaction.atomic():          # together with the step's cursor
        writer.commit()
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from isal import isal_zlib

from apps.archives import contents, objects
from apps.archives.errors import BadEntry, StaleBatch
from apps.archives.models import Archive, Member, Piece, Segment
from apps.archives.segments import context_of, owner_of
from apps.archives.zipformat import DEFLATED
from apps.keys.services import open_key
from apps.locations.contract import Entry
from apps.sealing.streams import seal_stream

SEGMENT_SIZE = 8 * 1024 * 1024  # packed bytes in memory before they are stored; DESIGN §6 allows up to 64 MiB
_FEED = 1024 * 1024  # packed at once, so that a segment exceeds its size by little
_GATHER = 64 * 1024
_MOST_FILES = 2000  # rows of one batch: memory, and the time for which its transaction holds SQLite's write lock
_MOST_OPEN = 32  # deflaters at work: each holds back some 128 KiB
_ROWS = 1000

_PART = r"(?![.])(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|$))[A-Za-z0-9._ @+=,()-]+(?<![. ])"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)  # safe to unpack on Windows, too
_RESERVED = re.compile(r"(index(-\d+)?|disclosure)\.html|manifest\.json(\.sig)?|README\.txt", re.IGNORECASE)


@dataclass
class _Run:
    """A piece on its way: packed bytes that wait, and what will be said of them."""

    member: Member
    number: int
    chunks: list[bytes]
    plain_length: int
    plain_sha256: bytes


@dataclass
class _Open:
    """A file that is being written. `before` is what its row said when the batch began."""

    member: Member
    before: tuple[int, int] | None  # piece_count, crc32; None: the row is new
    deflater: Any = None
    hash: Any = None
    plain_length: int = 0
    chunks: list[bytes] = field(default_factory=list)

    def feed(self, plain: bytes) -> int:
        """Take bytes of the file; return by how much more is waiting."""
        if self.hash is None:
            self.hash = hashlib.sha256()
            if self.member.method == DEFLATED:
                self.deflater = isal_zlib.compressobj(level=1, wbits=-15)
        packed = self.deflater.compress(plain) if self.deflater else plain
        self.hash.update(plain)
        self.plain_length += len(plain)
        self.member.crc32 = zlib.crc32(plain, self.member.crc32)
        self.member.size += len(plain)
        if packed:
            self.chunks.append(packed)
        return len(packed)

    def end_piece(self, *, is_last: bool) -> _Run | None:
        """Bring the deflater to a byte boundary and hand over the piece; None when there is nothing."""
        if self.hash is None:
            if not is_last or self.member.method != DEFLATED:
                return None
            self.feed(b"")  # the end of the deflate stream
        if self.deflater:
            self.chunks.append(self.deflater.flush(isal_zlib.Z_FINISH if is_last else isal_zlib.Z_FULL_FLUSH))
        run = _Run(self.member, self.member.piece_count, self.chunks, self.plain_length, self.hash.digest())
        self.member.piece_count += 1
        self.deflater, self.hash, self.plain_length, self.chunks = None, None, 0, []
        return run


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks and cut large ones: each call of deflater and hash costs as much as some hundred bytes."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        if len(chunk) > _FEED:
            if waiting:
                yield b"".join(waiting)
                waiting, size = [], 0
            for start in range(0, len(chunk), _FEED):
                yield chunk[start : start + _FEED]
            continue
        waiting.append(chunk)
        size += len(chunk)
        if size >= _GATHER:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


class BatchWriter:
    """One batch of one step. Not for use by several threads."""

    def __init__(
        self, archive: Archive, step_id: UUID, token: UUID, folder: str = "", *, own_files: bool = False
    ) -> None:
        """`folder` comes in front of every name; `own_files` lets index, manifest and the like be written."""
        if archive.key_id is None:
            raise StaleBatch("the archive has ended")
        self.bytes_written = 0  # of the files, before packing
        self._archive, self._step_id, self._token = archive, step_id, token
        self._folder = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._own_files = own_files
        self._key = open_key(archive.key_id)
        rows = Member.objects.filter(archive=archive, step_id=step_id, is_closed=False)
        self._open = {row.name: _Open(row, (row.piece_count, row.crc32)) for row in rows}
        self._changed: dict[str, _Open] = {}  # in the order of their first entry here
        self._runs: list[_Run] = []
        self._waiting = 0
        self._segments: list[Segment] = []
        self._pieces: list[tuple[Member, Piece]] = []
        self._is_closed = False

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()

    @property
    def members(self) -> list[Member]:
        """The files that this batch began or went on with."""
        return [state.member for state in self._changed.values()]

    @property
    def pieces(self) -> list[tuple[Member, Piece]]:
        """The pieces stored so far, each with its file."""
        return self._pieces

    @property
    def is_full(self) -> bool:
        """Say whether the batch should end here: its rows wait in memory, and are all written in one transaction."""
        return len(self._changed) >= _MOST_FILES

    def write(self, entry: Entry) -> None:
        """Write a whole file or the next piece of one; raises StorageFull, Unavailable, BadEntry, or what the chunks raise."""
        state = self._state_of(entry)
        for chunk in _gathered(entry.chunks):
            self._waiting += state.feed(chunk)
            self.bytes_written += len(chunk)
            if self._waiting >= SEGMENT_SIZE:
                self._store()
        if entry.part in {"whole", "last"}:
            self._end_piece(state, is_last=True)
            state.member.is_closed = True
            del self._open[state.member.name]
        elif sum(state.hash is not None for state in self._open.values()) > _MOST_OPEN:
            self._store()

    def flush(self) -> None:
        """Store what waits in memory, so that all pieces so far are known."""
        self._store()

    def close(self) -> None:
        """End the batch: what waits in memory goes to storage. Call it outside transactions."""
        if not self._is_closed:
            self._store()
            self._is_closed = True

    def commit(self) -> None:
        """Write the rows, in the caller's transaction; raises StaleBatch when somebody else went on with these files."""
        self.close()
        with transaction.atomic():
            numbers = [segment.pk for segment in self._segments]
            kept = Segment.objects.filter(pk__in=numbers, stored=True, committed=False).update(committed=True)
            if kept != len(numbers):
                raise StaleBatch("the segments of this batch were swept")
            self._save_members()
            pieces = [piece for _member, piece in self._pieces]
            for member, piece in self._pieces:
                piece.member_id = member.pk
            Piece.objects.bulk_create(pieces, batch_size=_ROWS)

    def abort(self) -> None:
        """Delete what this batch has stored. Without it (a crash) the sweep does."""
        self._is_closed = True
        mine = Segment.objects.filter(pk__in=[segment.pk for segment in self._segments], committed=False)
        deleted = [segment.pk for segment in mine if objects.try_delete(segment.object_name)]
        mine.filter(pk__in=deleted).delete()

    def _state_of(self, entry: Entry) -> _Open:
        name = self._name_of(entry)
        state = self._open.get(name)
        if state is None or entry.part == "whole":
            if name in self._changed:
                raise BadEntry("two files have the same name")
            member = Member(archive=self._archive, step_id=self._step_id, name=name, media_type=entry.media_type[:100])
            member.method = getattr(entry, "method", DEFLATED)
            member.is_listed = entry.media_type != contents.MEDIA_TYPE
            state = self._open[name] = _Open(member, None)
        self._changed.setdefault(name, state)
        return state

    def _name_of(self, entry: Entry) -> str:
        is_contents = (entry.name, entry.media_type) == (contents.NAME, contents.MEDIA_TYPE)
        name = self._folder + entry.name
        if is_contents or self._own_files:
            return name
        if len(name) > 200 or not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
            raise BadEntry("a file has a name that may not stand in an archive")
        return name

    def _end_piece(self, state: _Open, *, is_last: bool) -> None:
        before = sum(map(len, state.chunks))
        run = state.end_piece(is_last=is_last)
        if run is not None:
            self._waiting += sum(map(len, run.chunks)) - before
            self._runs.append(run)

    def _store(self) -> None:
        """End the piece of every open file, then seal and store all that waits as one segment."""
        for state in self._open.values():
            self._end_piece(state, is_last=False)
        if not self._runs:
            return
        segment = self._new_segment()
        objects.put(segment.object_name, seal_stream(self._key, self._packed(segment), context=context_of(segment)))
        if not Segment.objects.filter(pk=segment.pk).update(stored=True, size=segment.size):
            objects.delete(segment.object_name)  # its row is gone: the archive has ended, or the sweep came first
            raise StaleBatch("a segment of this batch was swept")

    def _new_segment(self) -> Segment:
        used = Segment.objects.filter(archive=self._archive, step_id=self._step_id, token=self._token)
        newest = used.order_by("-number").values_list("number", flat=True).first()
        segment = Segment.objects.create(
            archive=self._archive,
            step_id=self._step_id,
            token=self._token,
            number=0 if newest is None else newest + 1,
            object_name=objects.new_name(owner_of(self._archive)),
        )
        self._segments.append(segment)
        return segment

    def _packed(self, segment: Segment) -> Iterator[bytes]:
        """Yield the waiting bytes, and note the piece of each run."""
        runs, self._runs, self._waiting = deque(self._runs), [], 0
        while runs:  # taken out one by one, so that what is sealed is not held twice
            run = runs.popleft()
            packed = b"".join(run.chunks)
            run.member.packed_size += len(packed)
            piece = Piece(
                archive=self._archive,
                segment=segment,
                number=run.number,
                start=segment.size,
                length=len(packed),
                sha256=hashlib.sha256(packed).digest(),
                plain_length=run.plain_length,
                plain_sha256=run.plain_sha256,
            )
            self._pieces.append((run.member, piece))
            segment.size += len(packed)
            yield packed

    def _save_members(self) -> None:
        """Insert new rows; change old ones only if they are as this batch found them."""
        new = [state.member for state in self._changed.values() if state.before is None]
        for state in self._changed.values():
            if state.before is not None and not self._update(state.member, state.before):
                raise StaleBatch("another worker went on with a file of this batch")
        try:
            with transaction.atomic():
                Member.objects.bulk_create(new, batch_size=_ROWS)
        except IntegrityError:
            raise BadEntry("a name is already taken in this archive") from None

    def _update(self, member: Member, before: tuple[int, int]) -> int:
        pieces, crc32 = before
        return Member.objects.filter(pk=member.pk, is_closed=False, piece_count=pieces, crc32=crc32).update(
            crc32=member.crc32,
            size=member.size,
            packed_size=member.packed_size,
            piece_count=member.piece_count,
            is_closed=member.is_closed,
        )
