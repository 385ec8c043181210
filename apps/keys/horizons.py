"""By when what a destroyed key sealed is irrecoverable: T1 of keys (DESIGN §2).

A wrapped copy of a destroyed key may survive in a dead tuple, a journal, a backup. It opens for as long as the master key
does that it is wrapped under. So T1 is when the last epoch is gone that was there while the key lived. It is a date only
under a standing policy; and never with a provider whose master keys cannot be proven gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.keys.models import Epoch, Key
from apps.keys.policy import GRACE, standing_policy
from apps.keys.providers import provider_named

CANNOT_BE_PROVEN = "cannot_be_proven"  # the provider cannot show that a master key is gone, as with files
TWO_OFFICERS = "two_officers"  # there is no standing policy: once two officers approve
NEVER_ROLLED = "never_rolled"  # MASTER_KEY_ROLL_DAYS=0, and nobody has rolled since

ROLL, GRACE_PART, BACKUPS, PROVIDER, GONE = "roll", "grace", "keys_backups", "provider", "gone"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Part:
    """One wait on the way to T1: `code` is one of the constants above, `until` the day on which it is over."""

    code: str
    until: date


@dataclass(frozen=True)
class KeyHorizon:
    """T1 of a key: the day, or why there is none. `parts` say how the day comes about, in their order."""

    by: date | None
    reason: str = ""  # without a day: CANNOT_BE_PROVEN, TWO_OFFICERS or NEVER_ROLLED
    parts: tuple[Part, ...] = ()


def key_horizon(
    destroyed_at: datetime | None = None, *, above: UUID | None = None, made_at: datetime | None = None
) -> KeyHorizon:
    """Return T1 for a key that was destroyed then (None: that would be destroyed now).

    `above`: for a single conversation, or a part of one, the id of the subject key that stood above it then. An old copy
    still opens under that one until it is replaced, at the next roll at the latest; from then on its own epochs count.
    `made_at`: when the key was made, if that is known: master keys destroyed before then never wrapped it.

    Nothing needs to be noted before the destruction: the epochs that may have wrapped the key are all that were begun
    before it and not gone by then. Ask again later: the answer becomes better as epochs are destroyed.
    """
    now = timezone.now()
    ended_at = destroyed_at or now
    if above is not None:
        ended_at = max(ended_at, _end_of(above, ended_at, now))
    wrapped_it = Epoch.objects.filter(Q(gone_at__isnull=True) | Q(gone_at__gt=ended_at), created_at__lte=ended_at)
    if made_at is not None:
        wrapped_it = wrapped_it.exclude(destroyed_at__lt=made_at)
    return _latest(list(wrapped_it), now)


def _end_of(key_id: UUID, ended_at: datetime, now: datetime) -> datetime:
    """Return when the key above was destroyed or replaced; now, while a roll has still to do it.

    Then every epoch that there is counts; the roll that replaces the key ends the last one of them.
    """
    row = Key.objects.filter(pk=key_id).values_list("destroyed_at").first()
    if row is None:
        return ended_at  # its row is purged: it was destroyed together with everything below it
    return row[0] or now


def _latest(epochs: list[Epoch], now: datetime) -> KeyHorizon:
    horizons = [_horizon_of(epoch, now) for epoch in epochs]
    for reason in (CANNOT_BE_PROVEN, TWO_OFFICERS, NEVER_ROLLED):
        if any(horizon.reason == reason for horizon in horizons):
            return KeyHorizon(None, reason)
    return max(horizons, key=lambda horizon: horizon.by or date.min, default=KeyHorizon(now.date()))


def _horizon_of(epoch: Epoch, now: datetime) -> KeyHorizon:
    """Return when one master key is gone, or will be."""
    provider = provider_named(epoch.provider)
    if not provider.is_provable:
        return KeyHorizon(None, CANNOT_BE_PROVEN)
    if epoch.gone_at is not None:
        day = _day_after(epoch.gone_at)
        return KeyHorizon(day, parts=(Part(GONE, day),))
    if standing_policy() is None:
        return KeyHorizon(None, TWO_OFFICERS)
    days = settings.MASTER_KEY_ROLL_DAYS
    if epoch.retired_at is None and not days:
        return KeyHorizon(None, NEVER_ROLLED)
    roll = epoch.emptied_at or max(now, epoch.created_at + timedelta(days=days)) + DAY  # a day for the schedule
    grace = max(now, roll + GRACE)
    backups = grace + timedelta(days=settings.KEYS_BACKUP_RETENTION_DAYS)
    gone = backups + timedelta(days=provider.waiting_days)
    steps = ((ROLL, roll), (GRACE_PART, grace), (BACKUPS, backups), (PROVIDER, gone))
    parts = tuple(Part(code, _day_after(moment)) for code, moment in steps)
    return KeyHorizon(parts[-1].until, parts=parts)


def _day_after(moment: datetime) -> date:
    """Return the first day of which all is after that moment, wherever on earth it is counted."""
    return (moment + DAY).date()
