"""The tiles of the log (C2SP tlog-tiles), made from the database: 256 hashes of one level, or 256 raw entries."""

from __future__ import annotations

import re

from apps.audit import merkle
from apps.audit.errors import LogDamaged
from apps.audit.models import Leaf, Tile

ENTRIES = "entries"
_NAME = re.compile(r"((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def path_of(level: int | str, index: int, width: int = merkle.TILE_WIDTH) -> str:
    """Return the tile's path below the log's prefix."""
    digits = f"{index:03d}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + ("" if width == merkle.TILE_WIDTH else f".p/{width}")


def parse_path(level: int | str, name: str) -> tuple[int, int] | None:
    """Return index and width of the tile with this name, in the one spelling that `path_of` gives; else None."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    index = int(match[1].replace("/", "").replace("x", ""))
    width = int(match[2]) if match[2] else merkle.TILE_WIDTH
    return (index, width) if path_of(level, index, width) == f"tile/{level}/{name}" else None


def read_hashes(level: int, index: int, width: int) -> list[bytes]:
    """Return the first `width` hashes of a tile from the database: one row if it is full, else at most 255 short ones."""
    if width < merkle.TILE_WIDTH:
        return _read_rows(level, index, width)
    packed = Tile.objects.filter(level=level, index=index).values_list("hashes", flat=True).first()
    if packed is None:
        raise LogDamaged(f"tile {index} of level {level} is missing in the database")
    packed = bytes(packed)
    return [packed[i : i + merkle.HASH_SIZE] for i in range(0, len(packed), merkle.HASH_SIZE)]


def _read_rows(level: int, index: int, width: int) -> list[bytes]:
    first = index * merkle.TILE_WIDTH
    if level == 0:
        leaves = Leaf.objects.filter(index__gte=first, index__lt=first + width).order_by("index")
        return [bytes(value) for value in leaves.values_list("leaf_hash", flat=True)]
    below = Tile.objects.filter(level=level - 1, index__gte=first, index__lt=first + width).order_by("index")
    return [bytes(value) for value in below.values_list("root", flat=True)]


def tree_of(size: int) -> merkle.Tree:
    """Return the tree of the first `size` leaves, read from the database."""
    return merkle.Tree(size, read_hashes)


def entry_bundle(index: int, width: int) -> bytes:
    """Return the raw entries of a tile, each with its length in two bytes before it."""
    first = index * merkle.TILE_WIDTH
    leaves = Leaf.objects.filter(index__gte=first, index__lt=first + width).order_by("index")
    return b"".join(len(data).to_bytes(2) + bytes(data) for data in leaves.values_list("entry__data", flat=True))


def complete_tiles(before: int, size: int) -> None:
    """Add every tile that is full now that the log has `size` leaves, not `before`; inside the sequencer's transaction."""
    if before >> merkle.TILE_HEIGHT == size >> merkle.TILE_HEIGHT:
        return
    level = 0
    while count := size >> (merkle.TILE_HEIGHT * (level + 1)):  # full tiles of this level
        newest = Tile.objects.filter(level=level).order_by("-index").values_list("index", flat=True).first()
        for index in range(0 if newest is None else newest + 1, count):
            hashes = _read_rows(level, index, merkle.TILE_WIDTH)
            Tile.objects.create(level=level, index=index, root=merkle.root_of(hashes), hashes=b"".join(hashes))
        level += 1
