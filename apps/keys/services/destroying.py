"""Destroying keys, in the order of DESIGN §2: a signed intent, one keys-transaction of tombstones, the outcome.

A crash between any two of these leaves either everything as it was, or tombstones that a repeat finds: the repeat is then
a success, with the time of the first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.audit.services import append, wait_until_signed
from apps.keys.errors import KeyStoreDamaged
from apps.keys.intents import MOST_KEYS, check_intent, intend_destruction, outcome_of, standing_intent
from apps.keys.journal import truncate_journal
from apps.keys.models import Key


@dataclass(frozen=True)
class Destruction:
    """What became of the named keys: all are tombstones, the last of them since `destroyed_at`."""

    destroyed_at: datetime
    destroyed: int  # by this call
    already: int  # before it


def erase_keys(key_ids: Sequence[UUID], *, about: str, actor: Actor, reason: str = "erased") -> Destruction:
    """Destroy keys for good, and have the log say so; outside transactions only. A repeat goes on where it broke off.

    `reason`: erased, replaced, expired, discarded or ownerless. Up to 500 keys go in one intent and one transaction;
    more go in parts. Raises NotSigned (nothing destroyed: try again) and what `destroy_keys` raises.
    """
    ids = sorted(set(key_ids))
    parts = [ids[first : first + MOST_KEYS] for first in range(0, len(ids), MOST_KEYS)] or [[]]
    results = [_erase_part(part, about, actor, reason) for part in parts]
    return Destruction(
        destroyed_at=max(result.destroyed_at for result in results),
        destroyed=sum(result.destroyed for result in results),
        already=sum(result.already for result in results),
    )


def _erase_part(key_ids: list[UUID], about: str, actor: Actor, reason: str) -> Destruction:
    _refuse_missing(key_ids)  # before an intent says that they will be destroyed
    intent = standing_intent(about, key_ids)
    if intent is None:
        with transaction.atomic(durable=True):
            intent = intend_destruction(key_ids, about=about, actor=actor, reason=reason)
    wait_until_signed(intent)
    result = destroy_keys(key_ids, intent=intent)
    with transaction.atomic(durable=True):
        record_destruction(intent, result, actor=actor)
    return result


def destroy_keys(key_ids: Collection[UUID], *, intent: Entry) -> Destruction:
    """Turn keys into tombstones, in one transaction of the keys database, and empty its journal.

    Refuses with IntentNotSigned unless the intent is signed, stands, and names every key; with KeyStoreDamaged if a key
    is neither live nor a tombstone: then nothing has been destroyed. JournalNotTruncated comes after the tombstones.
    """
    check_intent(intent, key_ids)
    with transaction.atomic("keys", durable=True):
        rows = Key.objects.select_for_update().filter(pk__in=key_ids)
        live = list(rows.filter(destroyed_at=None).values_list("pk", "parent_id"))
        _refuse_missing(key_ids)
        now = timezone.now()
        bury([key_id for key_id, _ in live], now)
        above = {parent_id for _, parent_id in live if parent_id} - set(key_ids)
        Key.objects.filter(pk__in=above, destroyed_at=None).update(child_destroyed_at=now)
        last = Key.objects.filter(pk__in=key_ids).aggregate(last=Max("destroyed_at"))["last"]
    truncate_journal("keys")
    return Destruction(destroyed_at=last, destroyed=len(live), already=len(set(key_ids)) - len(live))


def record_destruction(intent: Entry, result: Destruction, *, actor: Actor) -> Entry:
    """Write the outcome of an intent in the caller's records transaction; a repeat returns the entry that is there."""
    return outcome_of(intent) or append(
        Event.KEYS_DESTROYED,
        about=intent.about,
        actor=actor,
        intent=intent.pk,
        destroyed=result.destroyed,
        already=result.already,
        destroyed_at=result.destroyed_at,
        **{name: details_of(intent).get(name) for name in ("reason", "kind")},
    )


def discard_key(key_id: UUID, *, actor: Actor | None = None) -> Destruction:
    """Destroy a key whose content was never committed, after the rollback and outside transactions."""
    return erase_keys([key_id], about="", actor=actor or Actor.system(), reason="discarded")


def purge_keys_below(parent_ids: Collection[UUID]) -> int:
    """Delete the rows of keys below tombstones, and return how many; call it when no row names them any more.

    They count as destroyed already, but a reader that still came for one would find neither key nor tombstone.
    """
    tombstones = Key.objects.filter(pk__in=parent_ids, destroyed_at__isnull=False)
    purged = 0
    for parent_id in tombstones.values_list("pk", flat=True):
        while ids := list(Key.objects.filter(parent_id=parent_id).values_list("pk", flat=True)[:MOST_KEYS]):
            purged += Key.objects.filter(pk__in=ids).delete()[0]
    return purged


def bury(key_ids: Collection[UUID], moment: datetime) -> int:
    """Make tombstones of live keys, and return how many were live. For callers that hold what says they must be."""
    return Key.objects.filter(pk__in=key_ids, destroyed_at=None).update(
        destroyed_at=moment,
        wrapped=None,
        kind="",
        name="",
        owner=None,
        parent_id=None,
        epoch=None,
        created_at=None,
        child_destroyed_at=None,
    )


def _refuse_missing(key_ids: Collection[UUID]) -> None:
    missing = set(key_ids) - set(Key.objects.filter(pk__in=key_ids).values_list("pk", flat=True))
    if missing:
        raise KeyStoreDamaged(f"{len(missing)} keys are neither live nor tombstones, among them {min(missing)}")
