"""The schedule's poke: nothing depends on it, since whoever waits for a signature sequences by itself."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from apps.audit import anchoring, quarantine, selectors, services

SOON = timedelta(seconds=0.5)  # what has waited so long already does not wait for the next call
MOST_ROUNDS = 20

logger = logging.getLogger(__name__)


class QuietTask(Task):
    """What every task of the site is (config/celery.py): in quarantine it does nothing. What is due is found afterwards."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return None if quarantine.reason() else super().__call__(*args, **kwargs)


@shared_task
def sequence_entries() -> None:
    """Sign what is waiting, and what came meanwhile if that took long; entries that have waited for more than 10 s before that are an alarm.

    Unless this process came only now: what was written while nothing ran (a setup, the end of the run before) is no fault.
    """
    late = selectors.overdue_entries().count()
    if late and timezone.now() - _looking_since() > selectors.UNSIGNED_ALARM:
        logger.error("audit: %d entries waited for a signature for more than 10 s", late)
    for _round in range(MOST_ROUNDS):
        services.sequence()
        if not selectors.waiting_longer_than(SOON).exists():
            break


@cache
def _looking_since() -> datetime:
    """Return when this process first asked what waits too long."""
    return timezone.now()


@shared_task
def anchor_checkpoints() -> None:
    """Leave the newest checkpoint at the anchors that are due."""
    anchoring.anchor_due()
