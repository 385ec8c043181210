"""By when an erasure is irrecoverable everywhere: T1, part by part (DESIGN §2).

The latest of: the end of the master keys that wrapped the destroyed keys; the backups of the records database, for what is
in clear or blind-indexed there; and in each place the time for which it keeps erased copies itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings

from apps.keys.horizons import KeyHorizon, Part
from apps.locations.models import Location

KEYS, RECORDS_BACKUPS, PLACE = "keys", "records_backups", "place"
PLACE_OPEN = "place_open"  # a place still holds something
PLACE_UNKNOWN = "place_unknown"  # a place does not say for how long erased copies stay there


@dataclass(frozen=True)
class Wait:
    """One part of T1. `until` None: no day can be given, `reason` says why; `place` is the name of a place."""

    what: str  # KEYS, RECORDS_BACKUPS or PLACE
    until: date | None
    reason: str = ""
    place: str = ""


@dataclass(frozen=True)
class Horizon:
    """T1: the day, or a reason why there is none. `key_parts` say how the part of the keys comes about."""

    by: date | None
    reason: str
    waits: tuple[Wait, ...]
    key_parts: tuple[Part, ...] = ()


def erasure_horizon(keys: KeyHorizon, erased: Iterable[tuple[Location, datetime | None]]) -> Horizon:
    """Return T1 of an erasure. `erased`: every place, with when it was emptied (None: it is not yet)."""
    places = list(erased)
    waits = [Wait(KEYS, keys.by, keys.reason)]
    own = [(place, moment) for place, moment in places if place.kind in settings.OWN_LOCATIONS]
    if own:
        waits.append(_backups([moment for _place, moment in own]))
    waits += [wait for place, moment in places if (wait := _wait_of(place, moment)) is not None]
    days = [wait.until for wait in waits if wait.until is not None]
    reason = next((wait.reason for wait in waits if wait.until is None), "")
    return Horizon(None if reason else max(days), reason, tuple(waits), keys.parts)


def kept_until(place: Location, moment: datetime | None) -> date | None:
    """Return until when one place keeps what was erased there; None: it keeps nothing, or the day is not known."""
    wait = _wait_of(place, moment) if place.horizon_days else None
    return wait.until if wait else None


def _backups(moments: list[datetime | None]) -> Wait:
    last = max((moment for moment in moments if moment is not None), default=None)
    if last is None or None in moments:
        return Wait(RECORDS_BACKUPS, None, PLACE_OPEN)
    return Wait(RECORDS_BACKUPS, _day_after(last, settings.RECORDS_BACKUP_RETENTION_DAYS))


def _wait_of(place: Location, moment: datetime | None) -> Wait | None:
    """Return how long one place keeps what was erased there; None for one of our own that keeps nothing by itself."""
    is_own = place.kind in settings.OWN_LOCATIONS
    if moment is None:
        return None if is_own else Wait(PLACE, None, PLACE_OPEN, place.name)
    if is_own and not place.horizon_days:
        return None  # its storage keeps nothing; what its database keeps is counted above
    if place.horizon_days is None:
        return Wait(PLACE, None, PLACE_UNKNOWN, place.name)
    return Wait(PLACE, _day_after(moment, place.horizon_days), place=place.name)


def _day_after(moment: datetime, days: int) -> date:
    """Return the first day of which all is after that many days, wherever on earth it is counted."""
    return (moment + timedelta(days=days + 1)).date() if days else moment.date()
