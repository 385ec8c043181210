"""Opening keys. An unwrapped key lives for one request or one batch of work of at most 60 s; nothing keeps it here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from apps.audit import quarantine
from apps.keys.errors import InQuarantine, KeyDestroyed, KeyStoreDamaged
from apps.keys.models import Key
from apps.keys.wrapping import unwrap_rows

IDS_A_QUERY = 900


def open_key(key_id: UUID) -> bytes:
    """Return the key; raises KeyDestroyed if it or its parent is a tombstone, KeyStoreDamaged if it is neither."""
    return open_keys([key_id])[key_id]


def open_keys(key_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Return many keys at once; raises for the first that does not open, as `open_key` does.

    A key may be wrapped anew, and the master key that it was under destroyed, between reading and unwrapping: so a row
    that does not open is read once more before it counts as damage.
    """
    wanted = set(key_ids)
    try:
        return _open(wanted)
    except KeyStoreDamaged:
        return _open(wanted)


def check_live(key_id: UUID) -> None:
    """Raise what `open_key` would, without opening: a stream asks this at least every 60 s."""
    _read({key_id})


def _open(wanted: set[UUID]) -> dict[UUID, bytes]:
    rows, parents = _read(wanted)
    return unwrap_rows(rows.values(), parents.values())


def _read(wanted: set[UUID]) -> tuple[dict[UUID, Key], dict[UUID, Key]]:
    """Return the rows and the rows above them; raises KeyDestroyed, KeyStoreDamaged or InQuarantine."""
    if quarantine.reason():
        raise InQuarantine
    rows = _rows(wanted)
    parents = _rows({row.parent_id for row in rows.values() if row.parent_id})
    for key_id in wanted:
        row = rows.get(key_id)
        if row is None:
            raise KeyStoreDamaged(
                f"key {key_id} is neither live nor a tombstone: restore the keys database (restore_keys)"
            )
        for link in (row, parents.get(row.parent_id) if row.parent_id else None):
            if link is not None and link.destroyed_at is not None:
                raise KeyDestroyed(key_id, link.destroyed_at)
    return rows, parents


def _rows(key_ids: Iterable[UUID]) -> dict[UUID, Key]:
    ids = list(key_ids)
    found: dict[UUID, Key] = {}
    for first in range(0, len(ids), IDS_A_QUERY):
        part = Key.objects.select_related("epoch").filter(pk__in=ids[first : first + IDS_A_QUERY])
        found |= {row.pk: row for row in part}
    return found
