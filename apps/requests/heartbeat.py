"""Keeps the lease of a step while its work goes on, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from django.conf import settings
from django.db import OperationalError, connections

from apps.requests import claims
from apps.requests.claims import Claim

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4


class Heartbeat:
    """Renews the lease until the block ends, the step is lost, or nothing was committed for CELERY_TASK_TIME_LIMIT.

    The last keeps a place that hangs for ever from holding the step for ever.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{claim.step.pk}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        pause = settings.STEP_LEASE_SECONDS / BEATS_PER_LEASE
        cursor, since = self._claim.cursor, time.monotonic()
        try:
            while not self._ended.wait(pause):
                if self._claim.cursor != cursor:
                    cursor, since = self._claim.cursor, time.monotonic()
                if time.monotonic() - since > settings.CELERY_TASK_TIME_LIMIT or not self._renew():
                    return
        finally:
            connections.close_all()  # those of this thread

    def _renew(self) -> bool:
        try:
            return claims.keep(self._claim)
        except OperationalError:  # the database is busy or away: the lease still has three beats left
            log.warning("step %s: the lease could not be renewed just now", self._claim.step.pk)
            return True
