"""When an answer is due: pure functions of dates. What the periods are stands in regimes.py."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

Closed = Callable[[date], bool]  # says whether nobody works on that day

SATURDAY = 5
ONE_DAY = timedelta(days=1)


class DayType(Enum):
    MONTH = "month"  # calendar months
    DAY = "day"  # calendar days
    BUSINESS_DAY = "business_day"


@dataclass(frozen=True)
class Period:
    """A legal period and the rule it comes from. `shifts`: one that would end on a day off ends on the next working day."""

    amount: int
    unit: DayType
    cite: str
    shifts: bool = False

    def end(self, received_on: date, closed: Closed) -> date:
        """Return the last day of the period. The day of the event does not count (Reg. 1182/71, Article 3(1))."""
        last = self._plain_end(received_on, closed)
        return next_working_day(last, closed) if self.shifts else last

    def _plain_end(self, received_on: date, closed: Closed) -> date:
        if self.unit is DayType.MONTH:
            return add_months(received_on, self.amount)
        if self.unit is DayType.DAY:
            return received_on + timedelta(days=self.amount)
        return add_business_days(received_on, self.amount, closed)


def add_months(start: date, months: int) -> date:
    """Return the same day some months later, or that month's last day where it has no such day.

    Regulation (EEC, Euratom) 1182/71, Article 3(2)(c).
    """
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    return date(year, month, min(start.day, calendar.monthrange(year, month)[1]))


def is_day_off(day: date, closed: Closed) -> bool:
    return day.weekday() >= SATURDAY or closed(day)


def next_working_day(day: date, closed: Closed) -> date:
    """Return the day itself, or the next one that is no Saturday, Sunday or public holiday (1182/71, Article 3(4))."""
    while is_day_off(day, closed):
        day += ONE_DAY
    return day


def add_business_days(start: date, days: int, closed: Closed) -> date:
    """Return the n-th working day after `start`, which itself does not count."""
    day = start
    while days > 0:
        day += ONE_DAY
        if not is_day_off(day, closed):
            days -= 1
    return day
