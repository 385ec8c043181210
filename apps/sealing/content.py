"""What is sealed: a JSON value, packed small. Form (1 byte) || zstd frame of the JSON text.

orjson writes nearly everything. What it refuses but a conversation may hold (lone surrogates, integers beyond 64 bits,
nesting beyond 254) goes through the standard library, marked by another form byte, because orjson would also read it
back wrongly. NaN and infinities become null, as orjson does: JSON has no word for them.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import orjson
import zstandard

from apps.sealing.aead import Box
from apps.sealing.errors import DecryptionError, UnpackableValue

LEVEL = 3
MAX_UNPACKED = 256 * 1024 * 1024  # a small frame may claim any size: refuse before memory is reserved for it
MAX_DEPTH = 400  # the standard library reads recursively, and the stack below it may already be deep

_FAST = b"\x01"  # orjson, UTF-8
_PLAIN = b"\x02"  # standard library, ASCII


class _Zstd(threading.local):
    """Compressor and decompressor are reusable, but not by two threads at once."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress
        self.decompress = zstandard.ZstdDecompressor(max_window_size=MAX_UNPACKED).decompress


_zstd = _Zstd()


def pack(value: Any) -> bytes:
    """Return the value as compressed JSON. Dates and UUIDs become text; what JSON cannot hold raises UnpackableValue."""
    try:
        return _FAST + _zstd.compress(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return _PLAIN + _zstd.compress(_dump(value))


def unpack(packed: bytes) -> Any:
    """Return the value that `pack` was given; anything else raises DecryptionError."""
    form = packed[:1]
    try:
        if form not in (_FAST, _PLAIN) or not 0 <= zstandard.frame_content_size(packed[1:]) <= MAX_UNPACKED:
            raise DecryptionError("not packed content")
        text = _zstd.decompress(packed[1:], allow_extra_data=False)
        return orjson.loads(text) if form == _FAST else json.loads(text)
    except (zstandard.ZstdError, ValueError, RecursionError):
        raise DecryptionError("not packed content") from None


def seal_json(box: Box | bytes, value: Any, *, context: bytes) -> bytes:
    """Pack and seal a JSON value under a key, or under its `Box` where there are many."""
    return _box(box).seal(pack(value), context=context)


def unseal_json(box: Box | bytes, sealed: bytes | memoryview, *, context: bytes) -> Any:
    """Open and unpack what `seal_json` made; raises DecryptionError for anything else."""
    return unpack(_box(box).unseal(sealed, context=context))


def _box(box: Box | bytes) -> Box:
    return box if isinstance(box, Box) else Box(box)


def _dump(value: Any) -> bytes:
    """Write with the standard library what orjson refused."""
    if _is_deeper(value, MAX_DEPTH):
        raise UnpackableValue(f"nested more than {MAX_DEPTH} deep")
    try:
        return json.dumps(
            value, default=lambda other: orjson.loads(orjson.dumps(other)), separators=(",", ":")
        ).encode()
    except (TypeError, ValueError):
        raise UnpackableValue("not a value that JSON can hold") from None


def _is_deeper(value: Any, limit: int) -> bool:
    """Say whether lists and dicts are nested more than `limit` deep, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list, tuple))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(outer, (dict, list, tuple)) for outer in level)
