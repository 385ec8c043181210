"""Rolling the master key: a new epoch, and every live key wrapped anew under it (DESIGN §2: epochs are what shreds).

New epoch → the others retired, from where on nothing is added to them → keys below which something was destroyed replaced
→ every other root key wrapped anew, in batches → the old epochs are seen empty. Each part is found again by a repeat; what
is created or destroyed meanwhile wins. The destruction of an emptied epoch is another matter (ending.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.services import append
from apps.keys.epochs import begin_epoch, current_epoch
from apps.keys.errors import InQuarantine, KeyStoreDamaged
from apps.keys.models import Epoch, Key
from apps.keys.services.replacing import replace_several
from apps.keys.wrapping import save_unchanged, unwrap_rows, wrap_under_epoch

BATCH = 500
REPLACED_AT_ONCE = 50  # each has an intent of its own; they are signed together
SECONDS_A_RUN = 120.0  # of the schedule; the next run goes on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rolled:
    """What a run did. `waiting`: keys that an erasure will destroy, not replaced. `damaged`: keys that do not open."""

    epoch: UUID
    begun: bool = False
    rewrapped: int = 0
    replaced: int = 0
    waiting: int = 0
    damaged: int = 0
    emptied: list[UUID] = field(default_factory=list)
    is_whole: bool = True  # False: time was up, and a repeat goes on

    @property
    def has_changed(self) -> bool:
        return bool(self.rewrapped or self.replaced or self.emptied)


def roll_master_key(*, actor: Actor) -> Rolled:
    """Begin a new epoch and wrap every live key under it; finishes an unfinished roll instead, if there is one.

    Outside transactions. Raises MasterKeyUnreachable, NotSigned: then a repeat goes on.
    """
    unfinished = _finish(actor, None)
    return unfinished if unfinished.has_changed else _begin(actor, None)


def roll_if_due(*, actor: Actor | None = None, seconds: float = SECONDS_A_RUN) -> Rolled | None:
    """Finish an unfinished roll, or begin one when the epoch is MASTER_KEY_ROLL_DAYS old; None if there is no epoch.

    What the schedule calls. Works for about `seconds`; the next call goes on.
    """
    who = actor or Actor.system()
    ends_at = time.monotonic() + seconds
    if not Epoch.objects.filter(retired_at=None, destroyed_at=None).exists():
        return None
    rolled = _finish(who, ends_at)
    days = settings.MASTER_KEY_ROLL_DAYS
    begun_at = Epoch.objects.get(pk=rolled.epoch).created_at
    if not days or rolled.has_changed or timezone.now() < begun_at + timedelta(days=days):
        return rolled
    return _begin(who, ends_at)


def _begin(actor: Actor, ends_at: float | None) -> Rolled:
    begin_epoch()
    return replace(_finish(actor, ends_at), begun=True)


def _finish(actor: Actor, ends_at: float | None) -> Rolled:
    """Bring everything under the current epoch; finds nothing to do when that is so already."""
    if quarantine.reason():
        raise InQuarantine
    epoch = current_epoch()
    _retire_others(epoch, actor)
    tally = _Tally()
    is_whole = _replace_marked(epoch, actor, tally, ends_at) and _rewrap(epoch, tally, ends_at)
    rolled = Rolled(
        epoch.pk,
        rewrapped=tally.rewrapped,
        replaced=tally.replaced,
        waiting=len(tally.waiting),
        damaged=len(tally.damaged),
        emptied=_note_emptied(),
        is_whole=is_whole,
    )
    if rolled.has_changed:
        with transaction.atomic(durable=True):
            append(
                Event.MASTER_KEY_ROLLED,
                about="",
                actor=actor,
                epoch=epoch.pk,
                emptied=rolled.emptied,
                rewrapped=rolled.rewrapped,
                replaced=rolled.replaced,
                damaged=rolled.damaged,
                waiting=rolled.waiting,
            )
    if rolled.damaged:
        logger.error("%d keys do not open: their master keys must stay", rolled.damaged)
    return rolled


@dataclass
class _Tally:
    rewrapped: int = 0
    replaced: int = 0
    waiting: set[UUID] = field(default_factory=set)
    damaged: set[UUID] = field(default_factory=set)


def _retire_others(epoch: Epoch, actor: Actor) -> None:
    """From the commit on no key is wrapped under another epoch any more (epochs.is_in_service)."""
    others = Epoch.objects.filter(retired_at=None, destroyed_at=None).exclude(pk=epoch.pk)
    ids = list(others.values_list("pk", flat=True))
    if not ids:
        return
    with transaction.atomic(durable=True):
        append(Event.MASTER_KEY_BEGUN, about="", actor=actor, epoch=epoch.pk, retired=ids, provider=epoch.provider)
    Epoch.objects.filter(pk__in=ids, retired_at=None).update(retired_at=timezone.now())


def _replace_marked(epoch: Epoch, actor: Actor, tally: _Tally, ends_at: float | None) -> bool:
    """Replace the keys below which something was destroyed before this epoch; and finish what broke off."""
    wanted = Q(child_destroyed_at__lt=epoch.created_at, kind__in=list(settings.KEY_MOVERS)) | Q(replaces__isnull=False)
    for rows in _batches(wanted, REPLACED_AT_ONCE):
        done, waiting, damaged = replace_several([row.pk for row in rows], actor=actor)
        tally.replaced += len(done)
        tally.waiting |= waiting
        tally.damaged |= damaged
        if _is_over(ends_at):
            return False
    return True


def _rewrap(epoch: Epoch, tally: _Tally, ends_at: float | None) -> bool:
    for rows in _batches(Q(parent_id__isnull=True) & ~Q(epoch=epoch), BATCH):
        opened, damaged = _unwrap(rows)
        good = [row for row in rows if row.pk in opened]
        before = {row.pk: bytes(row.wrapped or b"") for row in good}
        wrap_under_epoch(good, [opened[row.pk] for row in good], epoch)
        tally.rewrapped += save_unchanged(good, before, {"parent_id": None}, ["epoch", "wrapped"], under=epoch)
        tally.damaged |= damaged
        if _is_over(ends_at):
            return False
    return True


def _unwrap(rows: list[Key]) -> tuple[dict[UUID, bytes], set[UUID]]:
    """Return the keys that open, and the ids of damaged ones; what changed since it was read is not damage."""
    try:
        return unwrap_rows(rows, []), set()
    except KeyStoreDamaged:
        if len(rows) == 1:
            unchanged = Key.objects.filter(pk=rows[0].pk, wrapped=rows[0].wrapped)
            return {}, set(unchanged.values_list("pk", flat=True))
    opened: dict[UUID, bytes] = {}
    damaged: set[UUID] = set()
    for row in rows:
        one, is_damaged = _unwrap([row])
        opened |= one
        damaged |= is_damaged
    return opened, damaged


def _note_emptied() -> list[UUID]:
    """Note which retired epochs no live key needs any more. Nothing is ever added to them, but by `restore_keys`."""
    emptied: list[UUID] = []
    for epoch in Epoch.objects.filter(retired_at__isnull=False, emptied_at=None, destroyed_at=None):
        if not Key.objects.filter(epoch=epoch).exists():
            Epoch.objects.filter(pk=epoch.pk, emptied_at=None).update(emptied_at=timezone.now())
            emptied.append(epoch.pk)
    return emptied


def _batches(wanted: Q, size: int) -> Iterator[list[Key]]:
    live = Key.objects.select_related("epoch").filter(wanted, destroyed_at__isnull=True).order_by("pk")
    batch = list(live[:size])
    while batch:
        last = batch[-1].pk
        yield batch
        batch = list(live.filter(pk__gt=last)[:size])


def _is_over(ends_at: float | None) -> bool:
    return ends_at is not None and time.monotonic() >= ends_at
