"""The Merkle tree of RFC 6962 §2 / RFC 9162 §2.1: hashes, roots, proofs and their checks. Pure functions.

A tree is read through a function that returns hashes of a tile (C2SP tlog-tiles): at level L, position i, stands the
root of the leaves i·256^L to (i+1)·256^L. So a proof touches O(log n) tiles, however long the log is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256

HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILES_KEPT = 64
EMPTY_ROOT = sha256(b"").digest()

ReadTile = Callable[[int, int, int], Sequence[bytes]]  # level, index, width


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def split_point(size: int) -> int:
    """Return the largest power of two below `size` (RFC 9162 §2.1.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf or node hashes, in order."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    middle = split_point(len(hashes))
    return node_hash(root_of(hashes[:middle]), root_of(hashes[middle:]))


def tile_width(size: int, level: int, index: int) -> int:
    """Return how many hashes the tile has in a tree of `size` leaves: 256 if it is full, 0 if it does not exist."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - TILE_WIDTH * index))


class Tree:
    """A tree of `size` leaves whose hashes come from tiles; the tiles read last are kept."""

    def __init__(self, size: int, read: ReadTile) -> None:
        self.size = size
        self._read = lru_cache(maxsize=TILES_KEPT)(read)

    def root(self) -> bytes:
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the path from the leaf to the root (RFC 9162 §2.1.3.1)."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        path: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + split_point(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency_proof(self, old_size: int) -> list[bytes]:
        """Return what shows that the tree of `old_size` leaves is a beginning of this one (RFC 9162 §2.1.4.1)."""
        if not 0 < old_size <= self.size:
            raise IndexError(old_size)
        path: list[bytes] = []
        start, end, is_whole = 0, self.size, True
        while old_size != end:
            middle = start + split_point(end - start)
            if old_size <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start, is_whole = middle, False
        if not is_whole:
            path.append(self._range(start, end))
        return path[::-1]

    def _range(self, start: int, end: int) -> bytes:
        """Return the root of the leaves start to end: one node if they are a full aligned subtree, else two halves."""
        count = end - start
        if count & (count - 1):
            middle = start + split_point(count)
            return node_hash(self._range(start, middle), self._range(middle, end))
        level, height = divmod(count.bit_length() - 1, TILE_HEIGHT)
        first = start >> (TILE_HEIGHT * level)
        index, offset = divmod(first, TILE_WIDTH)
        hashes = self._read(level, index, tile_width(self.size, level, index))
        return root_of(hashes[offset : offset + (1 << height)])


class GrowingTree:
    """A tree that leaves are added to; it keeps the roots of its whole subtrees only, so memory is O(log n)."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[bytes] = []  # the largest first

    def add(self, hashed: bytes) -> None:
        self.size += 1
        self._whole.append(hashed)
        for _ in range((self.size & -self.size).bit_length() - 1):
            right = self._whole.pop()
            self._whole.append(node_hash(self._whole.pop(), right))

    def root(self) -> bytes:
        if not self._whole:
            return EMPTY_ROOT
        result = self._whole[-1]
        for left in self._whole[-2::-1]:
            result = node_hash(left, result)
        return result


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that the proof leads to, or None if it has the wrong length (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return None
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    return result if last == 0 else None


def verify_consistency(old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> bool:
    """Say whether the tree with `old_root` is a beginning of the tree with `root` (RFC 9162 §2.1.4.2)."""
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == root
