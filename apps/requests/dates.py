"""The operator's day."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone


def today() -> date:
    """Return the day on which deadlines are judged: the operator's."""
    return timezone.now().astimezone(ZoneInfo(settings.TIME_ZONE)).date()
