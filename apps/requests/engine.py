"""Carries requests out. Truth is the table of steps; a message or the clock only says "look".

`drain` is what a worker does every few seconds, `run_request` what a message asks for. Both take a request's steps one
after the other, and both may be called by any number of workers at once (claims.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError

from apps.archives.errors import StaleBatch
from apps.audit.errors import NotSigned
from apps.keys.errors import JournalNotTruncated, MasterKeyUnreachable
from apps.locations.deadlines import looking_for
from apps.locations.errors import Blocked, NoIdentity, Refused, StorageFull, Unavailable
from apps.locations.reasons import Reason
from apps.requests import access, amending, claims, erasure, second_look
from apps.requests.claims import Claim, Guard, claim_next
from apps.requests.errors import LostClaim, WaitsForPerson
from apps.requests.heartbeat import Heartbeat
from apps.requests.models import Step
from apps.requests.schedule import due_requests, free_lost_steps
from apps.requests.workers import STOPPING

log = logging.getLogger(__name__)

WORK: Mapping[str, Callable[[Claim], None]] = {
    Step.Phase.COLLECT: access.collect,
    Step.Phase.FINISH: access.finish,
    Step.Phase.PREPARE: erasure.prepare,
    Step.Phase.DESTROY: erasure.destroy,
    Step.Phase.PURGE: erasure.purge,
    Step.Phase.VERIFY: second_look.verify,
    Step.Phase.CORRECT: amending.correct,
    Step.Phase.RESTRICT: amending.restrict,
    Step.Phase.LIFT: amending.lift,
    Step.Phase.RECEIPT: amending.issue,
}
GUARDS: Mapping[str, Guard] = {
    Step.Phase.PREPARE: erasure.before_prepare,
    Step.Phase.DESTROY: erasure.before_destroy,
}
TURN_SECONDS = 60.0  # of one request in a drain: then those that are due later have theirs
MESSAGE_SECONDS = 120.0  # a message's work ends well before CELERY_TASK_TIME_LIMIT: a batch may take 60 s on top
MOST_REQUESTS = 100  # looked at in one drain


def run_request(request_id: UUID, *, seconds: float = MESSAGE_SECONDS) -> int:
    """Do the request's steps that are due, one after the other; return how many were taken."""
    ends_at = time.monotonic() + seconds
    taken = 0
    while time.monotonic() < ends_at and not STOPPING.is_set():
        try:
            claim = claim_next(request_id, GUARDS)
        except MasterKeyUnreachable:
            log.warning("the place of the master keys does not answer: nothing was claimed; tried again")
            return taken
        if claim is None:
            return taken
        run_claim(claim)
        taken += 1
    poke(request_id)
    return taken


def run_claim(claim: Claim) -> None:
    """Do one claimed step. Every known trouble of a place becomes a state of the step; an unknown one uses up an attempt."""
    try:
        with Heartbeat(claim), looking_for(settings.STEP_LEASE_SECONDS):
            WORK[claim.step.phase](claim)
    except (LostClaim, StaleBatch):
        log.info("step %s was taken over", claim.step.pk)
    except Unavailable as error:
        _conclude(partial(claims.block, claim, Reason.UNREACHABLE, next_try_at=_when_it_may(error)))
    except (JournalNotTruncated, MasterKeyUnreachable):
        _give_way(claim, Reason.UNREACHABLE)
    except StorageFull:
        _give_way(claim, Reason.STORAGE_FULL)
    except NotSigned:
        _give_way(claim, Reason.NOT_SIGNED)
    except Blocked as error:
        until = second_look.as_date(error.until)
        _conclude(partial(claims.block, claim, error.reason, until=until, next_try_at=second_look.try_at(until)))
    except WaitsForPerson as error:
        _conclude(partial(claims.need_person, claim, error.reason))
    except Refused as error:
        reason = Reason.NO_IDENTITY if isinstance(error, NoIdentity) else Reason.REFUSED
        _conclude(partial(claims.need_person, claim, reason))
    finally:
        claims.release(claim)  # no effect on a step that was concluded


def _give_way(claim: Claim, reason: str) -> None:
    _conclude(partial(claims.block, claim, reason))


def _when_it_may(error: Unavailable) -> datetime | None:
    """Return when a place that asked to be left alone may be asked again; an hour at the most."""
    if error.retry_after is None:
        return None
    pause = min(max(timedelta(seconds=error.retry_after), claims.SHORTEST_PAUSE), claims.LONGEST_PAUSE)
    return timezone.now() + pause


def _conclude(change: Callable[[], None]) -> None:
    try:
        change()
    except LostClaim:
        log.info("a step was taken over before its trouble could be written down")


def drain(*, seconds: float = TURN_SECONDS) -> int:
    """Do what is due, of whichever request, each for about `seconds`; return how many steps were taken.

    Needs no message and no schedule. Every request that was due has its turn before the first one has another: places
    without end, true or made up, keep nobody else waiting for good.
    """
    free_lost_steps()
    taken = 0
    for request_id in list(due_requests(timezone.now())[:MOST_REQUESTS]):
        if STOPPING.is_set():
            break
        taken += run_request(request_id, seconds=seconds)
    return taken


def reconcile() -> int:
    """Poke every request of which a step may be due: pending, woken up, or left behind by a worker that died."""
    free_lost_steps()
    request_ids = list(due_requests(timezone.now())[:MOST_REQUESTS])
    for request_id in request_ids:
        poke(request_id)
    return len(request_ids)


def poke(request_id: UUID) -> None:
    """Wake a worker once the transaction is committed. Nothing is lost if that fails: workers look by themselves."""
    transaction.on_commit(lambda: _send(request_id), robust=True)


def _send(request_id: UUID) -> None:
    try:
        current_app.send_task("apps.requests.tasks.run_request", [str(request_id)], retry=False)
    except (KombuError, OSError):
        log.warning("no message could be sent: workers find the request by themselves")
