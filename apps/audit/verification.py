"""Checking the log against itself: raw entries → leaves → tiles → root → signature, and what lies outside the database.

The standalone verifier (verify/habeas_verify.py) does the same from the published files alone, with other code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.audit import merkle, notes, publishing, selectors, tiles
from apps.audit.details import LARGEST, moment_text
from apps.audit.errors import BadNote, LogDamaged
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending


@dataclass(frozen=True)
class Report:
    """What was found good: the entries `first` to `size` - 1 of the log that `checkpoint` signs."""

    checkpoint: Checkpoint
    first: int
    unsigned: int

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def is_complete(self) -> bool:
        return self.first == 0


def verify_everything(kept_checkpoint: str | None = None) -> Report:
    """Check every entry and everything published; with a checkpoint that somebody kept, also that the log continues it.

    Raises LogDamaged at the first thing that is wrong.
    """
    checkpoint = _signed_checkpoint()
    log, roots = _Log(checkpoint.size), _Roots()
    earlier = _earlier_logs(log)
    if kept_checkpoint is not None:
        _check_kept(kept_checkpoint, checkpoint, earlier)
    published = _published_size(checkpoint, earlier)
    for number in range(log.tile_count):
        for hashed in log.check_tile(number):
            for one in earlier[: roots.size]:  # each begins after the entry that names it
                one.add(hashed)
            roots.add(hashed)
    for one in earlier:
        one.refuse_if_missing()
    _check_nothing_hidden()
    _check_files(published)
    return Report(checkpoint, 0, Pending.objects.count())


def verify_newest(seconds: float, before: int | None = None) -> Report:
    """Check signature and root, then raw entries back from `before` (default: the newest) for about `seconds`."""
    deadline = time.monotonic() + seconds
    checkpoint = _signed_checkpoint()
    log = _Log(checkpoint.size)
    number = log.tile_count if before is None else min(log.tile_count, -(-before // merkle.TILE_WIDTH))
    while number > 0:
        number -= 1
        log.check_tile(number)
        if time.monotonic() > deadline:
            break
    return Report(checkpoint, number * merkle.TILE_WIDTH, Pending.objects.count())


class _Log:
    """Raw entries of a log of `size`, compared with their leaves and with every tile above these."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tile_count = -(-size // merkle.TILE_WIDTH)
        self._read = lru_cache(maxsize=merkle.TILES_KEPT)(tiles.read_hashes)

    def check_tile(self, number: int) -> list[bytes]:
        """Check up to 256 entries and return their hashes."""
        first, width = number * merkle.TILE_WIDTH, merkle.tile_width(self.size, 0, number)
        leaves = (
            Leaf.objects.filter(index__gte=first, index__lt=first + width).select_related("entry").order_by("index")
        )
        hashes = [_check_leaf(leaf) for leaf in leaves]
        if len(hashes) != width:
            raise LogDamaged(f"of the entries {first} to {first + width - 1}, {width - len(hashes)} are missing")
        self._check_above(number, hashes)
        return hashes

    def _check_above(self, number: int, hashes: list[bytes]) -> None:
        """Compare with the stored tile, its root with the tile above, and so on up to a tile that the root is made of."""
        level = position = 0
        while True:
            width = merkle.tile_width(self.size, level, number)
            stored = list(self._read(level, number, width))
            if stored[position : position + len(hashes)] != hashes:
                raise LogDamaged(f"tile {number} of level {level} does not fit the entries")
            if width < merkle.TILE_WIDTH:
                return
            hashes, level = [merkle.root_of(stored)], level + 1
            number, position = divmod(number, merkle.TILE_WIDTH)


class _Roots:
    """The roots of a growing log, compared with every checkpoint that was ever signed."""

    def __init__(self) -> None:
        self._signed = {size: bytes(root) for size, root in Checkpoint.objects.values_list("size", "root").iterator()}
        self._tree = merkle.GrowingTree()

    @property
    def size(self) -> int:
        return self._tree.size

    def add(self, hashed: bytes) -> None:
        self._tree.add(hashed)
        size = self._tree.size
        if size in self._signed and self._tree.root() != self._signed[size]:
            raise LogDamaged(f"the first {size} entries do not give the root that was signed then")


class _Earlier:
    """A log before this one as an entry `log.continued` names it, and the roots of what is left of it: that follows."""

    def __init__(self, details: dict[str, Any], left: int) -> None:
        self.origin = selectors.origin(details["number"] - 1)
        self.size = details["size"]
        self._left = left
        self._tree = merkle.GrowingTree()
        self._signed = [(self.size, bytes.fromhex(details["root"]))]

    def compare_with(self, kept: notes.CheckpointText) -> None:
        """Take a checkpoint that somebody kept of it."""
        if kept.size > self.size or (kept.size == self.size and (kept.size, kept.root) not in self._signed):
            raise LogDamaged(
                f"the checkpoint given has {kept.size} entries, this log names {self.size} of the earlier one"
            )
        self._signed.append((kept.size, kept.root))

    def refuse_if_missing(self) -> None:
        if self._tree.size < self._left:
            raise LogDamaged(f"of the entries left of {self.origin}, some are missing")

    def add(self, hashed: bytes) -> None:
        if self._tree.size >= self._left:
            return
        self._tree.add(hashed)
        if any(size == self._tree.size and root != self._tree.root() for size, root in self._signed):
            raise LogDamaged(
                f"the first {self._tree.size} entries left of {self.origin} are not those that were signed"
            )


def _earlier_logs(log: _Log) -> list[_Earlier]:
    """Return the logs that this one names at its beginning, the newest first."""
    found: list[_Earlier] = []
    left, checked = LARGEST, len(log.check_tile(0)) if log.tile_count else 0
    for leaf in Leaf.objects.filter(index__lt=checked).select_related("entry").order_by("index"):
        if leaf.entry.event != Event.LOG_CONTINUED:
            break
        details = selectors.details_of(leaf.entry)
        left = min(details["kept"], left - 1)  # what is left of an older one is a part of what is left of a newer one
        found.append(_Earlier(details, left))
    return found


def _check_leaf(leaf: Leaf) -> bytes:
    """Return the entry's hash, once it fits its leaf and the columns that pages search by."""
    entry = leaf.entry
    hashed = merkle.leaf_hash(bytes(entry.data))
    if hashed != bytes(leaf.leaf_hash):
        raise LogDamaged(f"entry {leaf.index} is not the one that was signed")
    record = selectors.record_of(entry)
    columns = {"event": entry.event, "about": entry.about, "actor": entry.actor, "role": entry.role}
    if {name: record[name] for name in columns} != columns or record["at"] != moment_text(entry.created_at):
        raise LogDamaged(f"entry {leaf.index} is listed with other columns than it says itself")
    return hashed


def _signed_checkpoint() -> Checkpoint:
    checkpoint = selectors.latest_checkpoint()
    if checkpoint is None:
        raise LogDamaged("no checkpoint has been signed yet")
    said = _open(checkpoint.note, "the newest checkpoint")
    if (said.size, said.root) != (checkpoint.size, bytes(checkpoint.root)):
        raise LogDamaged("the newest checkpoint's row differs from its signed text")
    if tiles.tree_of(checkpoint.size).root() != said.root:
        raise LogDamaged("the log does not give the root that is signed")
    return checkpoint


def _open(note: str, what: str) -> notes.CheckpointText:
    try:
        return notes.open_with_any(note, selectors.keys_of_every_log())
    except BadNote as error:
        raise LogDamaged(f"{what}: {error}") from None


def _check_kept(note: str, checkpoint: Checkpoint, earlier: list[_Earlier]) -> None:
    kept = _open(note, "the checkpoint given")
    if kept.origin != selectors.origin():
        _check_earlier(kept, earlier)
    elif kept.size > checkpoint.size:
        raise LogDamaged(f"the checkpoint given has {kept.size} entries, the log {checkpoint.size}: it was rolled back")
    elif tiles.tree_of(kept.size).root() != kept.root:
        raise LogDamaged(f"the first {kept.size} entries are not those of the checkpoint given: the log was rewritten")


def _check_earlier(kept: notes.CheckpointText, earlier: list[_Earlier]) -> None:
    """Compare a checkpoint of a log before this one with what this one says of that, and later with what is left of it."""
    named = next((one for one in earlier if one.origin == kept.origin), None)
    if named is None:
        raise LogDamaged(f"the checkpoint given is of {kept.origin}, which this log does not name")
    named.compare_with(kept)


def _check_nothing_hidden() -> None:
    """An entry that is neither placed nor waiting would never be signed."""
    if Entry.objects.filter(leaf__isnull=True, pending__isnull=True).exists():
        raise LogDamaged("an entry is neither in the log nor waiting for its place")


def _published_size(checkpoint: Checkpoint, earlier: list[_Earlier]) -> int:
    """Return the size of the published log, once its checkpoint fits the database's."""
    try:
        note = (Path(settings.TILES_DIR) / publishing.CHECKPOINT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LogDamaged("the published checkpoint cannot be read") from None
    _check_kept(note, checkpoint, earlier)
    return notes.read_checkpoint(note).size


def _check_files(size: int) -> None:
    """Compare every published tile with the database, which has been checked."""
    for name, data in publishing.files_of(size):
        try:
            found = (Path(settings.TILES_DIR) / name).read_bytes()
        except OSError as error:
            raise LogDamaged(f"{name} cannot be read: {error.strerror}") from None
        if found != data:
            raise LogDamaged(f"{name} differs from the log")
