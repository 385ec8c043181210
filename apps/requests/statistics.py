"""How many requests came and what became of them, by law and kind (11 CCR 7102; also good practice elsewhere)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, QuerySet

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


ANSWERED = (Status.COMPLETED, Status.REFUSED)
TOOK = ExpressionWrapper(F("ended_at") - F("received_at"), output_field=DurationField())


@dataclass
class Figures:
    """The requests of one law and kind that were received in the period. The days are of those that were answered."""

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
    mean_days: float | None = None
    median_days: float | None = None


def statistics(since: date, until: date) -> list[Figures]:
    """Return the figures of requests received from `since` to `until`, both included (days in UTC).

    The database counts: however many requests there are, a line for each law and kind comes out.
    """
    start = datetime.combine(since, time.min, UTC)
    end = datetime.combine(until + timedelta(days=1), time.min, UTC)
    rows = PrivacyRequest.objects.filter(received_at__gte=start, received_at__lt=end).order_by()
    found: dict[tuple[str, str], Figures] = {}
    counted = rows.values_list("regime", "kind", "status", "ground").annotate(number=Count("pk"))
    for regime, kind, status, ground, number in counted:
        figures = found.setdefault((regime, kind), Figures(regime, kind))
        figures.received += number
        name = COMPLIED.get(Status(status), "open")
        setattr(figures, name, getattr(figures, name) + number)
        if ground:
            figures.refused_by_ground[ground] += number
    _add_days(rows.filter(status__in=ANSWERED, ended_at__isnull=False), found)
    return [found[key] for key in sorted(found)]


def _add_days(answered: QuerySet[PrivacyRequest], found: dict[tuple[str, str], Figures]) -> None:
    lengths = answered.values_list("regime", "kind").annotate(number=Count("pk"), mean=Avg(TOOK))
    for regime, kind, number, mean in lengths:
        group = answered.filter(regime=regime, kind=kind).annotate(took=TOOK).order_by("took")
        middle = list(group.values_list("took", flat=True)[(number - 1) // 2 : number // 2 + 1])
        figures = found[regime, kind]
        figures.mean_days = _days(mean)
        figures.median_days = _days(sum(middle, timedelta()) / len(middle)) if middle else None


def _days(length: timedelta) -> float:
    return round(length / timedelta(days=1), 1)


def csv_rows(since: date, until: date) -> Iterator[list[str]]:
    """Yield the lines of a CSV file, the heading first. Codes and numbers only: nothing a spreadsheet could run."""
    yield list(COLUMNS)
    for figures in statistics(since, until):
        values = [getattr(figures, column) for column in COLUMNS]
        yield ["" if value is None else str(value) for value in values]
