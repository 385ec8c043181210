"""How many requests came and what became of them, by law and kind (11 CCR 7102; also good practice elsewhere)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import mean, median

from apps.requests.models import PrivacyRequest, Status

COLUMNS = (
    "regime", "kind", "received", "complied", "complied_in_part", "refused", "withdrawn", "lapsed", "open",
    "mean_days", "median_days",
)  # fmt: skip
COMPLIED = {
    Status.COMPLETED: "complied",
    Status.PARTLY_COMPLETED: "complied_in_part",
    Status.REFUSED: "refused",
    Status.WITHDRAWN: "withdrawn",
    Status.LAPSED: "lapsed",
}


@dataclass
class Figures:
    """The requests of one law and kind that were received in the period."""

    regime: str
    kind: str
    received: int = 0
    complied: int = 0
    complied_in_part: int = 0
    refused: int = 0
    withdrawn: int = 0
    lapsed: int = 0
    open: int = 0
    refused_by_ground: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    days: list[float] = field(default_factory=list)  # of those that were answered

    @property
    def mean_days(self) -> float | None:
        return round(mean(self.days), 1) if self.days else None

    @property
    def median_days(self) -> float | None:
        return round(median(self.days), 1) if self.days else None


def statistics(since: date, until: date) -> list[Figures]:
    """Return the figures of requests received from `since` to `until`, both included (days in UTC)."""
    start = datetime.combine(since, time.min, UTC)
    end = datetime.combine(until + timedelta(days=1), time.min, UTC)
    rows = PrivacyRequest.objects.filter(received_at__gte=start, received_at__lt=end)
    found: dict[tuple[str, str], Figures] = {}
    values = rows.values_list("regime", "kind", "status", "ground", "received_at", "ended_at")
    for regime, kind, status, ground, received_at, ended_at in values.iterator(5000):
        figures = found.setdefault((regime, kind), Figures(regime, kind))
        figures.received += 1
        name = COMPLIED.get(Status(status), "open")
        setattr(figures, name, getattr(figures, name) + 1)
        if ground:
            figures.refused_by_ground[ground] += 1
        if ended_at is not None and name in ("complied", "refused"):
            figures.days.append((ended_at - received_at).total_seconds() / 86_400)
    return [found[key] for key in sorted(found)]


def csv_rows(since: date, until: date) -> Iterator[list[str]]:
    """Yield the lines of a CSV file, the heading first. Codes and numbers only: nothing a spreadsheet could run."""
    yield list(COLUMNS)
    for figures in statistics(since, until):
        values = [getattr(figures, column) for column in COLUMNS]
        yield ["" if value is None else str(value) for value in values]
