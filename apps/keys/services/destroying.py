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
from apps.audit.entries import hash_of
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of, index_of
from apps.audit.services import append, wait_until_signed
from apps.keys.errors import KeyStoreDamaged
from apps.keys.intents import (
    MOST_KEYS,
    REPLACED,
    check_intent,
    intend_destruction,
    named_keys,
    outcome_of,
    standing_intent,
)
from apps.keys.journal import truncate_journal
from apps.keys.lineage import with_twins
from apps.keys.models import Key, Removed
from apps.keys.services.installing import note_log_size


@dataclass(frozen=True)
class Destruction:
    """What became of the named keys: all are tombstones, the last of them since `destroyed_at`."""

    destroyed_at: datetime
    destroyed: int  # by this call
    already: int  # before it


def erase_keys(
    key_ids: Sequence[UUID], *, about: str, actor: Actor, reason: str = "erased", removed: Sequence[UUID | int] = ()
) -> Destruction:
    """Destroy keys for good, and have the log say so; outside transactions only. A repeat goes on where it broke off.

    `reason`: erased, replaced, expired, discarded or ownerless; `removed`: for a replaced key, the rows that its new one
    does not open. Up to 500 keys go in one intent and one transaction; more go in parts. Raises NotSigned (nothing destroyed: try again) and what `destroy_keys` raises.
    """
    ids = sorted(set(key_ids))
    parts = [ids[first : first + MOST_KEYS] for first in range(0, len(ids), MOST_KEYS)] or [[]]
    results = [_erase_part(part, about, actor, reason, removed) for part in parts]
    return Destruction(
        destroyed_at=max(result.destroyed_at for result in results),
        destroyed=sum(result.destroyed for result in results),
        already=sum(result.already for result in results),
    )


def _erase_part(
    key_ids: list[UUID], about: str, actor: Actor, reason: str, removed: Sequence[UUID | int]
) -> Destruction:
    _refuse_missing(key_ids)  # before an intent says that they will be destroyed
    intent = standing_intent(about, key_ids)
    if intent is None:
        with transaction.atomic(durable=True):
            intent = intend_destruction(key_ids, about=about, actor=actor, reason=reason, removed=removed)
    return carry_out(intent, actor=actor)


def carry_out(intent: Entry, *, actor: Actor) -> Destruction:
    """Destroy every key that a committed intent names, once it is signed; outside transactions only.

    A repeat goes on where it broke off. Raises NotSigned (nothing destroyed) and what `destroy_keys` raises.
    """
    wait_until_signed(intent)
    result = destroy_keys(named_keys(intent), intent=intent)
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
        rows = Key.objects.select_for_update().filter(pk__in=key_ids).order_by("pk")
        live = list(rows.filter(destroyed_at=None).values_list("pk", "parent_id"))
        _refuse_missing(key_ids)
        now = timezone.now()
        twins = with_twins(key_ids) if REPLACED not in details_of(intent) else key_ids
        bury(twins, now)
        _mark_above([(key_id, parent_id) for key_id, parent_id in live if parent_id not in twins], now)
        note_log_size((index_of(intent) or 0) + 1)
        last = Key.objects.filter(pk__in=key_ids).aggregate(last=Max("destroyed_at"))["last"]
    truncate_journal("keys")
    return Destruction(destroyed_at=last, destroyed=len(live), already=len(set(key_ids)) - len(live))


def destroy_replaced(key_id: UUID, *, intents: Sequence[Entry]) -> Destruction | None:
    """Turn a replaced key into a tombstone; None (nothing done) while a key stands below it, or a removed one is unsaid."""
    for intent in intents:
        check_intent(intent, [key_id])
    said = {UUID(str(one)) for intent in intents for one in details_of(intent).get("removed", []) if "-" in str(one)}
    with transaction.atomic("keys", durable=True):
        row = Key.objects.select_for_update().get(pk=key_id)
        removed = Removed.objects.filter(parent_id=key_id)
        if row.destroyed_at is None:
            unsaid = set(removed.values_list("removed_id", flat=True)) - said
            if unsaid or Key.objects.filter(parent_id=key_id, destroyed_at=None).exists():
                return None
        now = timezone.now()
        buried = bury([key_id], now)
        note_log_size(max((index_of(intent) or 0) + 1 for intent in intents))
    truncate_journal("keys")
    return Destruction(destroyed_at=row.destroyed_at or now, destroyed=buried, already=1 - buried)


def record_destruction(intent: Entry, result: Destruction, *, actor: Actor) -> Entry:
    """Write the outcome of an intent in the caller's records transaction; a repeat returns the entry that is there."""
    return outcome_of(intent) or append(
        Event.KEYS_DESTROYED,
        about=intent.about,
        actor=actor,
        intent=hash_of(intent),
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
    Removed.objects.filter(parent_id__in=key_ids).delete()  # they opened under these alone
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
        replaces=None,
    )


def _mark_above(destroyed: Sequence[tuple[UUID, UUID | None]], moment: datetime) -> None:
    """Note on the keys above that an old copy of these would still open under them, until they are replaced."""
    pairs = [(key_id, parent_id) for key_id, parent_id in destroyed if parent_id is not None]
    living = Key.objects.filter(pk__in={parent_id for _, parent_id in pairs}, destroyed_at=None)
    living.update(child_destroyed_at=moment)
    above = set(living.values_list("pk", flat=True))
    Removed.objects.bulk_create(
        [Removed(parent_id=parent_id, removed_id=key_id) for key_id, parent_id in pairs if parent_id in above],
        ignore_conflicts=True,
    )


def _refuse_missing(key_ids: Collection[UUID]) -> None:
    missing = set(key_ids) - set(Key.objects.filter(pk__in=key_ids).values_list("pk", flat=True))
    if missing:
        raise KeyStoreDamaged(f"{len(missing)} keys are neither live nor tombstones, among them {min(missing)}")
