"""Open a ZIP that somebody else made: what it says about itself is checked before a byte is unpacked.

Names are for showing and for finding pictures; they are never used as paths. References: PKWARE APPNOTE 6.3.10;
D. Fifield, "A better zip bomb" (overlapping entries).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from django.utils.translation import gettext as _

from .errors import UnreadableFile
from .limits import (
    MAX_DIRECTORY_BYTES,
    MAX_ENTRIES,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    RATIO_FREE_BYTES,
)
from .sources import Source

END_RECORD = b"PK\x05\x06"
LOCAL_HEADER = b"PK\x03\x04"
_END_RECORD_64, _LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL_HEADER = b"PK\x01\x02"
_CENTRAL_SIZE, _LOCAL_SIZE, _END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 46, 30, 22, 20, 56
_MAX_COMMENT = 65_535
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNKNOWN = 0xFFFFFFFF  # the ZIP64 fields say it
_READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Entry(Source):
    """One file of a ZIP. `number` is its place in the table of contents; names may repeat."""

    number: int
    crc: int


class _Central(NamedTuple):
    flags: int
    method: int
    name: bytes


class _EntryReader:
    """Reads one entry; damage becomes UnreadableFile."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except _READ_ERRORS:
            raise UnreadableFile(_("“%(name)s” in the ZIP file is damaged.") % {"name": self._name}) from None

    def close(self) -> None:
        self._stream.close()


def open_zip(path: Path) -> list[Entry]:
    """The files of a ZIP; raises UnreadableFile for a damaged, encrypted, contradictory or dangerous one.

    The file stays open as long as one of the entries is alive.
    """
    with path.open("rb") as file:
        table = list(_central_directory(file, path.stat().st_size))
    try:
        archive = zipfile.ZipFile(path)
    except _READ_ERRORS:
        raise _damaged() from None
    infos = archive.infolist()
    if len(infos) != len(table):
        raise _damaged()
    _check_sizes(infos)
    with path.open("rb") as file:
        for central, info in zip(table, infos, strict=True):
            _check_local_header(file, central, info)
    _check_overlap(infos, archive.start_dir)
    return [_entry(archive, number, info) for number, info in enumerate(infos) if not info.filename.endswith("/")]


def _entry(archive: zipfile.ZipFile, number: int, info: zipfile.ZipInfo) -> Entry:
    name = info.filename

    def open_entry() -> _EntryReader:
        try:
            return _EntryReader(archive.open(info), name)
        except _READ_ERRORS:
            raise UnreadableFile(_("“%(name)s” in the ZIP file is damaged.") % {"name": name}) from None

    return Entry(name=name, size=info.file_size, open=open_entry, number=number, crc=info.CRC)


def _central_directory(file: IO[bytes], size: int) -> Iterator[_Central]:
    """Walk the table of contents, whose length and count are bounded before `zipfile` builds objects from it."""
    start, length, count = _end_record(file, size)
    if count > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
        raise UnreadableFile(
            _("The ZIP file has more than %(limit)s entries. Split it and upload the parts.")
            % {"limit": f"{MAX_ENTRIES:,}"}
        )
    file.seek(start)
    table = file.read(length)
    position = found = 0
    while position < len(table):
        if table[position : position + 4] != _CENTRAL_HEADER or position + _CENTRAL_SIZE > len(table):
            raise _damaged()
        flags, method = struct.unpack_from("<HH", table, position + 8)
        name_length, extra_length, comment_length = struct.unpack_from("<HHH", table, position + 28)
        name = table[position + _CENTRAL_SIZE : position + _CENTRAL_SIZE + name_length]
        position += _CENTRAL_SIZE + name_length + extra_length + comment_length
        found += 1
        if found > MAX_ENTRIES or position > len(table):
            raise _damaged()
        yield _Central(flags, method, name)
    if found != count or len(table) != length:
        raise _damaged()


def _end_record(file: IO[bytes], size: int) -> tuple[int, int, int]:
    """Start, length and number of entries of the table of contents."""
    tail_size = min(size, _END_SIZE + _MAX_COMMENT + _LOCATOR_SIZE + _END64_SIZE)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(END_RECORD)
    if at < 0 or at + _END_SIZE > len(tail):
        raise UnreadableFile(_("The ZIP file is cut off. Download it again, wait until it is complete, and retry."))
    count, length = struct.unpack_from("<HL", tail, at + 10)
    end = size - tail_size + at
    locator, record = at - _LOCATOR_SIZE, at - _LOCATOR_SIZE - _END64_SIZE
    if record >= 0 and tail[locator : locator + 4] == _LOCATOR_64:
        if tail[record : record + 4] != _END_RECORD_64:
            raise _damaged()
        count, length = struct.unpack_from("<QQ", tail, record + 32)
        end = size - tail_size + record
    if length > end:
        raise _damaged()
    return end - length, length, count


def _check_sizes(infos: list[zipfile.ZipInfo]) -> None:
    total = 0
    for info in infos:
        total += info.file_size
        is_bomb = info.file_size > max(RATIO_FREE_BYTES, info.compress_size * MAX_RATIO)
        if is_bomb or total > MAX_UNPACKED_BYTES:
            raise UnreadableFile(
                _(
                    "The ZIP file would unpack to far more than a person's conversations (a “zip bomb”). It was not opened."
                )
            )


def _check_local_header(file: IO[bytes], central: _Central, info: zipfile.ZipInfo) -> None:
    """Both headers of an entry must agree, or two programs would see two different files."""
    if info.header_offset < 0:
        raise _damaged()
    file.seek(info.header_offset)
    header = file.read(_LOCAL_SIZE)
    if len(header) < _LOCAL_SIZE or not header.startswith(LOCAL_HEADER):
        raise _damaged()
    flags, method = struct.unpack_from("<HH", header, 6)
    crc, packed, unpacked, name_length = struct.unpack_from("<LLLH", header, 14)
    if (flags | central.flags) & _ENCRYPTED:
        raise UnreadableFile(_("The ZIP file is protected by a password. Unpack it and upload what is inside."))
    if method not in _METHODS:
        raise UnreadableFile(_("The ZIP file is packed in an unusual way. Pack it again with an ordinary program."))
    is_same = method == central.method and file.read(name_length) == central.name
    for local, declared in ((crc, info.CRC), (packed, info.compress_size), (unpacked, info.file_size)):
        is_left_open = local == _UNKNOWN or (local == 0 and flags & _SIZES_FOLLOW)
        is_same = is_same and (local == declared or bool(is_left_open))
    if not is_same:
        raise UnreadableFile(
            _("The ZIP file contradicts itself: the entry “%(name)s” is described in two ways.")
            % {"name": info.filename[:80]}
        )


def _check_overlap(infos: list[zipfile.ZipInfo], directory_start: int) -> None:
    ordered = sorted(infos, key=lambda info: info.header_offset)
    ends = [info.header_offset + _LOCAL_SIZE + len(info.orig_filename) + info.compress_size for info in ordered]
    starts = [info.header_offset for info in ordered[1:]] + [directory_start]
    if any(end > start for end, start in zip(ends, starts, strict=False)):
        raise UnreadableFile(_("The ZIP file uses the same bytes for several files (a “zip bomb”). It was not opened."))


def _damaged() -> UnreadableFile:
    return UnreadableFile(_("The ZIP file is damaged: its table of contents cannot be read. Download it again."))
