"""Putting back what a restored database lacks of the log, from the tiles that were published outside it (DESIGN §3).

Indices, roots and checkpoint are then as before; only the ids of the rows are new. Nothing is put back unless the tiles
give the root that the log's key signed, and the log in the database is a beginning of them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.audit import merkle, notes, publishing, selectors, sequencer, tiles
from apps.audit.errors import BadNote, LogDamaged, LogDiverged
from apps.audit.models import Checkpoint, Entry, Pending


def put_back_entries() -> int:
    """Put back every entry that the published log has beyond this one; return how many. Safe to repeat after a crash.

    Raises LogDiverged when the published log does not continue this one, LogDamaged when its files are not what was signed.
    """
    note = publishing.published_note()
    if note is None:
        return 0
    published = _Published(note)
    size = before = sequencer.log_size()
    if size >= published.size:
        return 0
    _check(published, size)
    while size < published.size:
        sequencer.place_signed(lambda first: _rows(published.entries_from(first)))
        size = sequencer.log_size()
    values = {"root": published.root, "note": note, "signed_at": timezone.now()}
    Checkpoint.objects.get_or_create(size=published.size, defaults=values)
    return size - before


class _Published:
    """The log as its files say, of the size that its signed checkpoint names."""

    def __init__(self, note: str) -> None:
        try:
            statement = notes.open_with_any(note, selectors.verifier_keys())
        except BadNote:
            raise LogDiverged("the published checkpoint is not signed by a key of this log") from None
        self.size, self.root = statement.size, statement.root

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Return the first `width` hashes of a tile, for trees of this size or less."""
        data = publishing.read(tiles.path_of(level, index, merkle.tile_width(self.size, level, index)))
        return [data[i : i + merkle.HASH_SIZE] for i in range(0, width * merkle.HASH_SIZE, merkle.HASH_SIZE)]

    def entries_from(self, first: int) -> list[bytes]:
        """Return the raw entries from an index to the end of its tile, each compared with its hash."""
        index, offset = divmod(first, merkle.TILE_WIDTH)
        width = merkle.tile_width(self.size, 0, index)
        entries = _split(publishing.read(tiles.path_of(tiles.ENTRIES, index, width)))
        if [merkle.leaf_hash(one) for one in entries] != self.hashes(0, index, width):
            raise LogDamaged(f"the published entries of tile {index} are not those that were signed")
        return entries[offset:]


def _check(published: _Published, size: int) -> None:
    if merkle.Tree(published.size, published.hashes).root() != published.root:
        raise LogDamaged("the published tiles do not give the root that is signed")
    if merkle.Tree(size, published.hashes).root() != tiles.tree_of(size).root():
        raise LogDiverged(f"the first {size} entries of the published log are not those of the database")


def _split(bundle: bytes) -> list[bytes]:
    entries: list[bytes] = []
    start = 0
    while start < len(bundle):
        end = start + 2 + int.from_bytes(bundle[start : start + 2])
        entries.append(bundle[start + 2 : end])
        start = end
    return entries


def _rows(entries: list[bytes]) -> list[Entry]:
    """Return the entries' rows: those that wait here for a place already, new ones for the others."""
    waiting = {bytes(entry.data): entry for entry in Entry.objects.filter(pk__in=Pending.objects.values("entry_id"))}
    made = Entry.objects.bulk_create(_row(data) for data in entries if data not in waiting)
    known = waiting | {bytes(entry.data): entry for entry in made}
    return [known[data] for data in entries]


def _row(data: bytes) -> Entry:
    record: dict[str, Any] = json.loads(data)
    columns = {name: record[name] for name in ("event", "about", "actor", "role")}
    return Entry(created_at=datetime.fromisoformat(record["at"]), data=data, **columns)
