"""The schedule's poke: nothing depends on it, since whoever waits for a signature sequences by itself."""

from __future__ import annotations

import logging

from celery import shared_task

from apps.audit import anchoring, selectors, services

logger = logging.getLogger(__name__)


@shared_task
def sequence_entries() -> None:
    """Sign what is waiting; entries that have waited for more than 10 s before that are an alarm."""
    late = selectors.overdue_entries().count()
    if late:
        logger.error("audit: %d entries waited for a signature for more than 10 s", late)
    services.sequence()


@shared_task
def anchor_checkpoints() -> None:
    """Leave the newest checkpoint at the anchors that are due."""
    anchoring.anchor_due()
