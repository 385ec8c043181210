"""What holds objects back from being erased, as a cloud's listing tells of each of them: a reason, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from apps.locations.contract import Obstacle, Remaining
from apps.locations.errors import Blocked, Refused
from apps.locations.reasons import Reason

Hold = tuple[str, date | None]  # ("", None): nothing holds it; without a day: until somebody releases it
REASONS = (Reason.LEGAL_HOLD, Reason.OBJECT_LOCK, Reason.RETENTION_POLICY)  # of several the first one is said


def obstacles(holds: Iterable[Hold]) -> list[Obstacle]:
    """Return what will stay, by reason, with the last day of each."""
    found: dict[str, list[date | None]] = {}
    for reason, until in holds:
        if reason:
            found.setdefault(reason, []).append(until)
    return [
        Obstacle(reason, count=len(days), until=max(filter(None, days), default=None)) for reason, days in found.items()
    ]


def remaining(holds: Iterable[Hold]) -> Remaining:
    """Return what is still there, and why."""
    count, reasons, until = 0, set(), None
    for reason, day in holds:
        count += 1
        reasons.add(reason)
        until = max(filter(None, [until, day]), default=None)
    if not count:
        return Remaining(0)
    return Remaining(count, next((one for one in REASONS if one in reasons), Reason.CANNOT_DELETE), until)


def explain(left: Iterable[tuple[str, Hold]], refused: str) -> None:
    """Raise Blocked when something holds one of the names that are left, Refused in these words when nothing does."""
    holds, days = list[Hold](), dict[str, list[date | None]]()
    for name, hold in left:
        holds.append(hold)
        days.setdefault(name, []).append(hold[1])
    if not any(reason for reason, _day in holds):
        if holds:
            raise Refused(refused)
        return
    said = remaining(holds)
    held = {name: None if None in some else max(filter(None, some)) for name, some in days.items()}
    raise Blocked(said.reason, said.until, held)


def day_after(moment: datetime) -> date:
    """Return the first whole day on which it has ended."""
    return date.fromordinal(moment.astimezone(UTC).date().toordinal() + 1)
