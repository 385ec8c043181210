"""Changing the key of a blind index while the site works.

A new key, from where on nothing is written under the old one → every row brought under it, in batches → the old key looked
for no more, once no row needs it → destroyed by signed intent, as every key. Each part is found again by a repeat. Rows
carry the number of their key, and what moves such a row keeps the number: so an old number that no row has stays unused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.selectors import live_named_keys
from apps.keys.services import KeyKind
from apps.keys.services.replaying import standing_of
from apps.records.indexing.columns import Column
from apps.records.indexing.models import IndexKey
from apps.records.indexing.ring import IDENTITY, SUPPRESSION, Ring, make_key, open_ring

SECONDS_A_RUN = 120.0  # of the schedule; the next run goes on

Progress = Callable[[str, int, int], None]  # index, rows done, rows there were


@dataclass(frozen=True)
class Rotated:
    """How it stands with an index. `left`: rows for a later run; `kept`: rows that can never be brought under a new key."""

    name: str
    number: int
    begun: bool = False
    renewed: int = 0
    left: int = 0
    kept: int = 0
    destroyed: int = 0  # earlier keys


def index_names() -> list[str]:
    """Return the indexes that are in use."""
    return list(IndexKey.objects.order_by("name").values_list("name", flat=True).distinct())


def rotate_index(name: str, *, actor: Actor, progress: Progress | None = None) -> Rotated:
    """Begin a new key and bring everything under it; goes on with a rotation that broke off instead, if there is one.

    Outside transactions. Raises what destroying a key raises: then a repeat goes on.
    """
    begun = not _is_unfinished(name) and _begin(name, actor)
    return _go_on(name, actor, begun=begun, progress=progress)


def finish_rotations(*, seconds: float = SECONDS_A_RUN) -> list[Rotated]:
    """Go on with every rotation that broke off, and drop keys that no row needs any more; what the schedule calls."""
    ends_at = time.monotonic() + seconds
    return [_go_on(name, Actor.system(), ends_at=ends_at) for name in index_names() if _older_keys(name).exists()]


def replace_lost_keys(*, actor: Actor) -> int:
    """After a restore: give an index whose key is gone a new one; return how many entries that cost.

    The records may be from before a rotation, whose old key is destroyed; or the keys from before it, without the new one.
    What can be indexed anew is. The rest, of no use without its key, goes: entries of the suppression list, and notes of
    conversations that were deleted here and that a source might bring in again. A repeat goes on.
    """
    for row in _lost_keys():
        if row.retired_at is None:
            _begin(row.name, actor)
        IndexKey.objects.filter(pk=row.pk).delete()
    for name in index_names():
        ring = open_ring(name)
        for column in _columns_of(name):
            if not column.asks_places:  # copies get their hash anew when they are checked
                _renew(column, ring)
    _destroy_unnamed_keys(actor)
    return sum(_forget_unknown(column, name) for name in index_names() for column in _columns_of(name))


def _is_unfinished(name: str) -> bool:
    """Say whether a rotation has something left to do; what can never be brought under a new key is not that."""
    older = list(_older_keys(name))
    return any(row.ended_at or not _is_needed(row) for row in older) or (bool(older) and _left(name) > 0)


def _begin(name: str, actor: Actor) -> bool:
    """Make the new key, then have everything be written under it from one moment on; False if another was faster."""
    newest = IndexKey.objects.filter(name=name).order_by("-number").first()
    number = newest.number + 1 if newest else 1
    made = make_key(name, number)
    with transaction.atomic(durable=True):
        current = IndexKey.objects.select_for_update().filter(name=name, retired_at__isnull=True).first()
        if newest is None or current is None or current.pk != newest.pk:
            return False
        current.retired_at = timezone.now()
        current.save(update_fields=["retired_at"])  # waits for whoever writes under the old one (Ring.is_held)
        IndexKey.objects.create(name=name, number=number, key_id=made.id)
        audit.append(Event.BLIND_INDEX_BEGUN, about="", actor=actor, index=_word(name), key=made.id)
    return True


def _go_on(
    name: str, actor: Actor, *, begun: bool = False, ends_at: float | None = None, progress: Progress | None = None
) -> Rotated:
    ring = open_ring(name)
    renewed = sum(_renew(column, ring, ends_at, progress) for column in _columns_of(name))
    _end_older_keys(name)
    destroyed = _destroy_ended_keys(name, actor)
    return Rotated(name, ring.number, begun, renewed, _left(name), _kept(name), destroyed)


def _renew(column: Column, ring: Ring, ends_at: float | None = None, progress: Progress | None = None) -> int:
    """Bring the rows of one column under the current key, in batches by id; stops when the time is up."""
    if column.renewer is None:
        return 0
    older, renew = column.before(ring.name, ring.number), column.renewer()
    total, seen, done, last = (older.count() if progress else 0), 0, 0, None
    while batch := list((older.filter(pk__gt=last) if last else older)[: column.batch]):
        last = batch[-1].pk
        done, seen = done + renew(ring, batch), seen + len(batch)
        if progress:
            progress(ring.name, min(seen, total), total)
        if ends_at is not None and time.monotonic() >= ends_at:
            break
    return done


def _end_older_keys(name: str) -> None:
    """Look for nothing any more under keys that no row needs."""
    for row in _older_keys(name).filter(ended_at__isnull=True):
        if not _is_needed(row):
            IndexKey.objects.filter(pk=row.pk).update(ended_at=timezone.now())


def _is_needed(key: IndexKey) -> bool:
    """Say whether a row stands under a key before the current one; one that none needs is never needed again.

    What is deleted leaves its note before its row goes: so the rows are asked first, then the notes.
    """
    columns = sorted(_columns_of(key.name), key=lambda column: column.renewer is None)
    return any(column.under(key.name, key.number).exists() for column in columns)


def _destroy_ended_keys(name: str, actor: Actor) -> int:
    ended = list(_older_keys(name).filter(ended_at__isnull=False))
    for row in ended:
        keys.erase_keys([row.key_id], about="", actor=actor, reason="rotated")
        with transaction.atomic(durable=True):
            if IndexKey.objects.filter(pk=row.pk).delete()[0]:
                audit.append(Event.BLIND_INDEX_ENDED, about="", actor=actor, index=_word(name), key=row.key_id)
    return len(ended)


def _left(name: str) -> int:
    """Count the rows that a later run can bring under the current key."""
    number = _current_number(name)
    return sum(column.before(name, number).count() for column in _columns_of(name) if column.renewer)


def _kept(name: str) -> int:
    """Count the rows that only a key before the current one finds, for good."""
    number = _current_number(name)
    return sum(column.before(name, number).count() for column in _columns_of(name) if not column.renewer)


def _current_number(name: str) -> int:
    return IndexKey.objects.values_list("number", flat=True).get(name=name, retired_at__isnull=True)


def _older_keys(name: str) -> QuerySet[IndexKey]:
    return IndexKey.objects.filter(name=name, retired_at__isnull=False).order_by("number")


def _lost_keys() -> list[IndexKey]:
    rows = list(IndexKey.objects.order_by("name", "number"))
    standing = standing_of([row.key_id for row in rows])
    return [row for row in rows if row.key_id in standing.destroyed | standing.lost]


def _destroy_unnamed_keys(actor: Actor) -> None:
    """Destroy keys of indexes that no row names: of rotations that the records, being older, know nothing of."""
    known, names = set(IndexKey.objects.values_list("key_id", flat=True)), set(index_names())
    found = live_named_keys((KeyKind.BLIND_INDEX, KeyKind.SUPPRESSION))
    unnamed = [one.id for one in found if one.id not in known and _index_of(one.kind, one.name) in names]
    if unnamed:
        keys.erase_keys(unnamed, about="", actor=actor, reason="ownerless")


def _index_of(kind: str, name: str) -> str:
    return SUPPRESSION if kind == KeyKind.SUPPRESSION else name.split("#")[0]


def _forget_unknown(column: Column, name: str) -> int:
    numbers = IndexKey.objects.filter(name=name).values_list("number", flat=True)
    return column.under_none(name, list(numbers)).delete()[0] if column.is_forgettable else 0


def _columns_of(name: str) -> list[Column]:
    return [column for column in _columns() if column.serves(name)]


def _columns() -> Iterator[Column]:
    return (import_string(path) for path in settings.BLIND_INDEXES.values())


def _word(name: str) -> str:
    """Return what the log calls an index: a closed list, so without the kind of identity."""
    return IDENTITY.rstrip("-") if name.startswith(IDENTITY) else name
