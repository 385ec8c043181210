"""The bytes of a ZIP file's structure (PKWARE APPNOTE 6.3.10), from sizes and positions. Pure.

One way of writing for everything, so that a verifier can compute each header and compare: made by Unix 4.5, UTF-8 flag,
deflated or stored, no data descriptors, no comments; ZIP64 fields exactly where a value does not fit (§4.5.3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

STORED = 0
DEFLATED = 8

_LIMIT_32 = 0xFFFFFFFF
_LIMIT_16 = 0xFFFF
_UTF8 = 1 << 11
_MADE_BY = 3 << 8 | 45  # Unix, so that the permissions below are read
_MODE = 0o100644 << 16
_PLAIN_VERSION = 20
_ZIP64_VERSION = 45

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR64 = struct.Struct("<4sLQL")


@dataclass(frozen=True, slots=True)
class File:
    """What the headers of one file say."""

    name: bytes
    method: int
    crc32: int
    packed_size: int
    size: int


def dos_time(moment: datetime) -> int:
    """Return date and time in MS-DOS form (§4.4.6), UTC, whole two seconds."""
    moment = moment.astimezone(UTC)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date << 16 | moment.hour << 11 | moment.minute << 5 | moment.second // 2


def local_header(file: File, modified: int) -> bytes:
    """Return the header in front of the packed bytes (§4.3.7)."""
    large = _is_large(file)
    extra = struct.pack("<HHQQ", 1, 16, file.size, file.packed_size) if large else b""
    sizes = (_LIMIT_32, _LIMIT_32) if large else (file.packed_size, file.size)
    version = _ZIP64_VERSION if large else _PLAIN_VERSION
    date, time = modified >> 16, modified & _LIMIT_16
    lengths = len(file.name), len(extra)
    fields = _LOCAL.pack(b"PK\3\4", version, _UTF8, file.method, time, date, file.crc32, *sizes, *lengths)
    return fields + file.name + extra


def local_size(file: File) -> int:
    return _LOCAL.size + len(file.name) + (20 if _is_large(file) else 0)


def central_header(file: File, modified: int, offset: int) -> bytes:
    """Return the entry of the central directory (§4.3.12)."""
    values = (file.size, file.packed_size, offset)
    wide = [value for value in values if value >= _LIMIT_32]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, packed_size, place = (min(value, _LIMIT_32) for value in values)
    version = _ZIP64_VERSION if wide else _PLAIN_VERSION
    date, time = modified >> 16, modified & _LIMIT_16
    fields = _CENTRAL.pack(
        *(b"PK\1\2", _MADE_BY, version, _UTF8, file.method, time, date, file.crc32, packed_size, size),
        *(len(file.name), len(extra), 0, 0, 0, _MODE, place),
    )
    return fields + file.name + extra


def central_size(file: File, offset: int) -> int:
    wide = sum(value >= _LIMIT_32 for value in (file.size, file.packed_size, offset))
    return _CENTRAL.size + len(file.name) + (4 + 8 * wide if wide else 0)


def end_records(count: int, size: int, start: int) -> bytes:
    """Return what follows a central directory of `count` entries and `size` bytes that begins at `start` (§4.3.14–16)."""
    wide = b""
    if count >= _LIMIT_16 or size >= _LIMIT_32 or start >= _LIMIT_32:
        wide = _END64.pack(
            *(b"PK\6\6", _END64.size - 12, _MADE_BY, _ZIP64_VERSION, 0, 0),
            *(count, count, size, start),
        ) + _LOCATOR64.pack(b"PK\6\7", 0, start + size, 1)
    counts = (min(count, _LIMIT_16),) * 2
    return wide + _END.pack(b"PK\5\6", 0, 0, *counts, min(size, _LIMIT_32), min(start, _LIMIT_32), 0)


def _is_large(file: File) -> bool:
    return file.size >= _LIMIT_32 or file.packed_size >= _LIMIT_32
