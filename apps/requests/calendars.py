"""Public holidays, for the clocks."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

import holidays

from apps.requests.clocks import Closed


@lru_cache(maxsize=16)
def _days(country: str, subdivision: str) -> Any:
    return holidays.country_holidays(country, subdiv=subdivision or None)  # fills in a year when it is asked for


def public_holidays(place: str) -> Closed:
    """Return the test for a place such as "DE", "DE-BE" or "US-CA"; a place that is not known raises NotImplementedError."""
    country, _, subdivision = place.partition("-")
    days = _days(country, subdivision)

    def closed(day: date) -> bool:
        return day in days

    return closed
