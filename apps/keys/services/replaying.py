"""What the log says of keys, carried out once more on restored databases (DESIGN §3, "After a restore")."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.services import wait_until_signed
from apps.keys.intents import MOST_KEYS, intend_destruction, intended_keys
from apps.keys.journal import truncate_journal
from apps.keys.kinds import KeyKind
from apps.keys.models import Installation, Key
from apps.keys.services.backing_up import bury_intended, destroyed_for_good
from apps.keys.services.destroying import Destruction, record_destruction
from apps.keys.services.installing import installation

IDS_A_QUERY = 400


@dataclass(frozen=True)
class Standing:
    """How it stands with some keys: those that are tombstones, or below one, and those that are neither live nor these."""

    destroyed: set[UUID] = field(default_factory=set)
    lost: set[UUID] = field(default_factory=set)


@dataclass(frozen=True)
class Returned:
    """A key that was replaced, and that a restore has brought back: it is to be replaced again."""

    key_id: UUID
    kind: KeyKind
    owner: UUID
    moment: datetime
    removed: tuple[UUID | int, ...]


def bury_erased() -> int:
    """Make a tombstone of every key that the log says is erased; return of how many. For the replay alone."""
    buried = bury_intended(destroyed_for_good()).tombstones
    truncate_journal("keys")
    return buried


def returned_keys() -> list[Returned]:
    """Return every key that the log says was replaced and that lives here, in the order in which they were replaced."""
    removed: dict[UUID, tuple[UUID | int, ...]] = {}
    moments: dict[UUID, datetime] = {}
    for one in intended_keys():
        if one.is_replaced:
            removed[one.key_id] = removed.get(one.key_id, ()) + one.removed
            moments[one.key_id] = one.moment
    living = {row.pk: row for batch in _parts(removed) for row in Key.objects.filter(pk__in=batch, destroyed_at=None)}
    return [
        Returned(key_id, KeyKind(living[key_id].kind), owner, moments[key_id], gone)
        for key_id, gone in removed.items()
        if key_id in living and (owner := living[key_id].owner) is not None
    ]


def unburied_keys() -> int:
    """Count the keys that the log says are destroyed and that are not tombstones."""
    named = {one.key_id for one in intended_keys()}
    return sum(
        len(batch) - Key.objects.filter(pk__in=batch, destroyed_at__isnull=False).count() for batch in _parts(named)
    )


def declare_lost(key_ids: Collection[UUID], *, actor: Actor) -> None:
    """Make tombstones of keys that no backup has any more, by signed intent; outside transactions only."""
    for part in (list(key_ids)[first : first + MOST_KEYS] for first in range(0, len(key_ids), MOST_KEYS)):
        with transaction.atomic(durable=True):
            intent = intend_destruction(part, about="", actor=actor, reason="lost")
        wait_until_signed(intent)
        now = timezone.now()
        bury_intended(dict.fromkeys(part, now))
        with transaction.atomic(durable=True):
            record_destruction(intent, Destruction(now, destroyed=len(part), already=0), actor=actor)


def begin_new_log_here() -> None:
    """Read the new log from its beginning at the next start."""
    Installation.objects.update(log_size=0)
    quarantine.note_keys_seen(0)


def note_restored() -> None:
    """Let the sweep of keys without an owner rest for as long as an old backup may be in use."""
    installation()
    Installation.objects.update(restored_at=timezone.now())
    quarantine.note_keys_seen(0)


def bury_returned(one: Returned) -> None:
    """Make a tombstone of a replaced key that nothing needs any more; after its replacement this changes nothing."""
    bury_intended({one.key_id: one.moment})
    truncate_journal("keys")


def standing_of(key_ids: Collection[UUID]) -> Standing:
    """Sort out those that open nothing any more."""
    found = Standing()
    for batch in _parts(key_ids):
        rows = {row.pk: row for row in Key.objects.filter(pk__in=batch)}
        parents = {row.parent_id for row in rows.values() if row.parent_id}
        above = dict(Key.objects.filter(pk__in=parents).values_list("pk", "destroyed_at"))
        for key_id in batch:
            row = rows.get(key_id)
            if row is None or (row.parent_id is not None and row.parent_id not in above):
                found.lost.add(key_id)
            elif row.destroyed_at is not None or (row.parent_id is not None and above[row.parent_id] is not None):
                found.destroyed.add(key_id)
    return found


def living_key_of(owner: UUID, kind: KeyKind) -> UUID | None:
    """Return the key of an owner that lives: after a restore of the records, their rows may name an older one."""
    rows = Key.objects.filter(owner=owner, kind=kind, destroyed_at=None, replaces=None).order_by("-created_at")
    return rows.values_list("pk", flat=True).first()


def _parts(key_ids: Collection[UUID]) -> list[list[UUID]]:
    ids = list(key_ids)
    return [ids[first : first + IDS_A_QUERY] for first in range(0, len(ids), IDS_A_QUERY)]
