"""Destroying keys that nothing names: what a crash between making a key and committing its content leaves behind."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Min, Q
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.services import append
from apps.keys.errors import SweepChanged
from apps.keys.models import Key
from apps.keys.services.destroying import erase_keys
from apps.keys.services.installing import installation, note_waiting_keys

AGE = timedelta(hours=24)  # longer than any transaction that may still commit the content of a new key
MOST_KEYS = 100  # more than these, or than the share, are not leftovers but a fault: a person looks first
MOST_SHARE = 0.01
BATCH = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """What was found: keys destroyed, rows deleted below tombstones, and how many wait for a person."""

    destroyed: int = 0
    purged: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class Found:
    """What a sweep would destroy, for a person to look at: how many of each kind, made when, and of how many that live.

    `digest` stands for exactly these keys. `rests_until`: after a restore nothing is swept before then, and so nothing is
    looked for.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    first_made: datetime | None = None
    last_made: datetime | None = None
    live: int = 0
    digest: str = ""
    rests_until: datetime | None = None

    @property
    def keys(self) -> int:
        return sum(self.kinds.values())

    @property
    def needs_person(self) -> bool:
        return self.keys > _most(self.live)


def look_for_ownerless_keys() -> Found:
    """Return what a sweep would find now. Nothing is changed."""
    until = _rests_until()
    if until is not None:
        return Found(rests_until=until)
    _dead, ownerless = _ownerless_keys()
    times = [_times(part) for some in ownerless.values() for part in _parts(some)]
    return Found(
        {kind: len(some) for kind, some in ownerless.items()},
        min((first for first, _last in times), default=None),
        max((last for _first, last in times), default=None),
        _live_keys(),
        _digest(ownerless),
    )


def sweep_ownerless_keys(*, confirmed_by: Actor | None = None, confirmed: str = "") -> Sweep:
    """Destroy, by signed intent, live keys older than 24 h that no row names; outside transactions only.

    Only kinds whose owners are in settings.KEY_OWNERS are swept. After a restore of keys nothing is swept for as long as
    a backup of them may be in use. More than 100 keys, or 1 % of all, stay until a person says so (`confirmed_by`, with
    the digest that they were shown: raises SweepChanged if it is not exactly these keys by now).
    """
    if _rests_until() is not None:
        note_waiting_keys(0)  # what a sweep found before the restore says nothing about the keys of today
        return Sweep()
    dead, kinds = _ownerless_keys()
    ownerless = [key_id for some in kinds.values() for key_id in some]
    if confirmed_by is not None and not hmac.compare_digest(confirmed.encode(), _digest(kinds).encode()):
        raise SweepChanged("these are not the keys that were shown and confirmed")
    purged = _delete_rows(dead)
    if not ownerless:
        note_waiting_keys(0)
        return Sweep(purged=purged)
    live = _live_keys()
    if len(ownerless) > _most(live) and confirmed_by is None:
        logger.warning("%d keys have no owner: more than may be swept without a person", len(ownerless))
        note_waiting_keys(len(ownerless))
        return Sweep(purged=purged, waiting=len(ownerless))
    if confirmed_by is not None:
        with transaction.atomic():
            shown = {"keys": len(ownerless), "live": live, "sha256": confirmed}
            append(Event.KEY_SWEEP_CONFIRMED, about="", actor=confirmed_by, **shown)
    result = erase_keys(ownerless, about="", actor=confirmed_by or Actor.system(), reason="ownerless")
    note_waiting_keys(0)
    return Sweep(destroyed=result.destroyed, purged=purged)


def _digest(ownerless: dict[str, list[UUID]]) -> str:
    """Return what stands for a set of keys: SHA-256, in hex, of their ids in order; "" for none."""
    ids = sorted(key_id.bytes for some in ownerless.values() for key_id in some)
    return hashlib.sha256(b"".join(ids)).hexdigest() if ids else ""


def _rests_until() -> datetime | None:
    """Return until when nothing is swept, because keys were restored and another restore may follow; None: it may be."""
    restored_at = installation().restored_at
    until = restored_at + timedelta(days=settings.KEYS_BACKUP_RETENTION_DAYS) if restored_at else None
    return until if until is not None and timezone.now() < until else None


def _most(live: int) -> float:
    return min(MOST_KEYS, MOST_SHARE * live)


def _live_keys() -> int:
    return Key.objects.filter(destroyed_at=None).count()


def _times(key_ids: list[UUID]) -> tuple[datetime, datetime]:
    found = Key.objects.filter(pk__in=key_ids).aggregate(first=Min("created_at"), last=Max("created_at"))
    return found["first"], found["last"]


def _ownerless_keys() -> tuple[list[UUID], dict[str, list[UUID]]]:
    """Return the keys that nothing names: those below a tombstone, which are destroyed already, and the others by kind."""
    dead: list[UUID] = []
    ownerless: dict[str, list[UUID]] = {}
    for kind, columns in settings.KEY_OWNERS.items():
        for batch in _old_keys(kind):
            named = named_by_rows(columns, batch)
            named |= _being_replaced(batch)
            lost = {key_id: parent_id for key_id, parent_id in batch.items() if key_id not in named}
            above = Key.objects.filter(
                pk__in={parent for parent in lost.values() if parent}, destroyed_at__isnull=False
            )
            tombstones = set(above.values_list("pk", flat=True))
            for key_id, parent_id in lost.items():
                (dead if parent_id in tombstones else ownerless.setdefault(kind, [])).append(key_id)
    return dead, ownerless


def named_by_rows(columns: Collection[str], key_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the keys that a row names in one of the columns, each "app.Model.field"."""
    named: set[UUID] = set()
    for column in columns:
        model, field = column.rsplit(".", 1)
        rows = apps.get_model(model)._default_manager.filter(**{f"{field}__in": list(key_ids)})
        named |= set(rows.values_list(field, flat=True))
    return named


def _being_replaced(key_ids: Collection[UUID]) -> set[UUID]:
    """Return those that are being replaced, or are the new one: the owner's row names only one of two for a while."""
    pairs = Key.objects.filter(Q(pk__in=list(key_ids)) | Q(replaces__in=list(key_ids)), replaces__isnull=False)
    return {key_id for pair in pairs.values_list("pk", "replaces") for key_id in pair if key_id is not None}


def _old_keys(kind: str) -> Iterator[dict[UUID, UUID | None]]:
    """Yield the live keys of a kind that are old enough, each with its parent, in batches by id.

    A key with a name is found again by it: no crash leaves it ownerless.
    """
    rows = Key.objects.filter(kind=kind, name="", created_at__lt=timezone.now() - AGE).order_by("pk")
    batch = dict(rows.values_list("pk", "parent_id")[:BATCH])
    while batch:
        yield batch
        batch = dict(rows.filter(pk__gt=max(batch)).values_list("pk", "parent_id")[:BATCH])


def _delete_rows(key_ids: list[UUID]) -> int:
    return sum(Key.objects.filter(pk__in=part).delete()[0] for part in _parts(key_ids))


def _parts(key_ids: list[UUID]) -> Iterator[list[UUID]]:
    for first in range(0, len(key_ids), BATCH):
        yield key_ids[first : first + BATCH]
