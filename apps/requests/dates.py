"""The operator's day, and how receipts write a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

EARLIEST, LATEST = date(1970, 1, 1), date(2999, 12, 31)  # of what is typed into a form: beyond them time zones overflow


def today() -> date:
    """Return the day on which deadlines are judged: the operator's."""
    return timezone.now().astimezone(ZoneInfo(settings.TIME_ZONE)).date()


def utc(moment: datetime | None) -> str | None:
    """Return a moment as receipts write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
