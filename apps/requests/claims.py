"""Taking a step, keeping it, and letting it go: the only code that changes the state of a step while work goes on.

A step is claimed by compare-and-set under a lock on its request. The claim's token fences: whoever comes with another
one changes nothing (LostClaim). Attempts are counted at the claim, so that a step that kills its worker does not do so
for ever, and start anew with each committed cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.contract import Kept
from apps.locations.reasons import Reason
from apps.requests import keeping
from apps.requests.errors import LostClaim
from apps.requests.models import PrivacyRequest, Status, Step
from apps.requests.schedule import ACTIVE, CLOSING, has_news, is_due, next_due
from apps.requests.vault import Vault, cursor_of, details_of, open_vault, seal_cursor
from apps.requests.workers import me

MOST_ATTEMPTS = 5
LONGEST_PAUSE = timedelta(hours=1)
SHORTEST_PAUSE = timedelta(seconds=30)
WAITING = (Status.APPROVED, Status.COOLING_OFF)
PAUSE_AFTER_TURN = timedelta(seconds=1)  # so that the request's other steps come first
PAUSE_AFTER_FAILURE = timedelta(seconds=5)


@dataclass(frozen=True)
class Obstacle:
    """Why a step may not begin now."""

    reason: str
    until: date | None = None
    pause: timedelta = LONGEST_PAUSE
    needs_person: bool = False


Guard = Callable[[PrivacyRequest, Step], Obstacle | None]


@dataclass
class Claim:
    """A step in the hands of one worker."""

    request: PrivacyRequest
    step: Step
    token: UUID
    vault: Vault
    cursor: str

    @property
    def details(self) -> dict[str, Any]:
        return details_of(self.request, self.vault)


def claim_next(request_id: UUID, guards: Mapping[str, Guard]) -> Claim | None:
    """Take the request's next step that is due, or None. Looks without a lock first: most looks find nothing."""
    if next_due(request_id, timezone.now()) is None:
        return None
    seen = PrivacyRequest.objects.filter(pk=request_id).first()
    if seen is None:
        return None
    vault = open_vault(seen)  # first: where the master key cannot be reached, nothing is claimed and no attempt counts
    with transaction.atomic():
        request = PrivacyRequest.objects.select_for_update().filter(pk=request_id, status__in=ACTIVE).first()
        if request is None:
            return None
        step = _take_one(request, guards)
    return None if step is None else Claim(request, step, step.token or uuid4(), vault, cursor_of(step, vault))


def _take_one(request: PrivacyRequest, guards: Mapping[str, Guard]) -> Step | None:
    """Take the first due step that nothing stands in the way of; the others are marked with what does."""
    now = timezone.now()
    steps = list(request.steps.select_related("location").order_by("order", "pk"))
    for step in steps:
        if not is_due(step, steps, request, now):
            continue
        obstacle = _obstacle(request, step, guards)
        if obstacle is not None:
            _mark_obstacle(request, step, obstacle, now)
        elif _mark_running(request, step, now):
            return step
    return None


def _obstacle(request: PrivacyRequest, step: Step, guards: Mapping[str, Guard]) -> Obstacle | None:
    if step.attempts >= MOST_ATTEMPTS:
        return Obstacle(Reason.TOO_MANY_ATTEMPTS, needs_person=True)
    if step.location is not None and not step.location.is_enabled and step.location.emptied_at is None:
        return Obstacle(Reason.DISABLED, needs_person=True)
    guard = guards.get(step.phase)
    return guard(request, step) if guard else None


def _mark_running(request: PrivacyRequest, step: Step, now: datetime) -> bool:
    """Take the step, unless its former worker was quicker after all."""
    lease = now + timedelta(seconds=settings.STEP_LEASE_SECONDS)
    taken = _unchanged(step).update(
        state=Step.State.RUNNING, token=uuid4(), worker=me(), lease_until=lease, next_try_at=None,
        attempts=step.attempts + 1, started_at=step.started_at or now,
    )  # fmt: skip
    if not taken:
        return False
    step.refresh_from_db()
    if PrivacyRequest.objects.filter(pk=request.pk, status__in=WAITING).update(status=Status.RUNNING):
        request.status = Status.RUNNING
        steps = request.steps.count()
        audit.append(Event.REQUEST_RUNNING, about=request.handle, actor=Actor.system(), steps=steps)
    return True


def _mark_obstacle(request: PrivacyRequest, step: Step, obstacle: Obstacle, now: datetime) -> None:
    state = Step.State.NEEDS_PERSON if obstacle.needs_person else Step.State.BLOCKED
    is_news = step.blocked_since is None or (step.reason, step.until) != (obstacle.reason, obstacle.until)
    changed = _unchanged(step).update(
        state=state, reason=obstacle.reason, until=obstacle.until, token=None, lease_until=None, worker="",
        blocked_since=step.blocked_since or now, next_try_at=None if obstacle.needs_person else now + obstacle.pause,
    )  # fmt: skip
    if changed and is_news:
        step.refresh_from_db()
        _record(request, step)


def _unchanged(step: Step) -> QuerySet[Step]:
    return Step.objects.filter(pk=step.pk, state=step.state, token=step.token)


class _Change:
    """The compare-and-set of a claim's step, for use inside a transaction."""

    def __init__(self, claim: Claim) -> None:
        self._mine = Step.objects.filter(pk=claim.step.pk, token=claim.token, state=Step.State.RUNNING)

    def __call__(self, **values: Any) -> None:
        if not self._mine.update(**values):
            raise LostClaim


@contextmanager
def progress(
    claim: Claim, cursor: str, *, done: int = 0, counts: Mapping[str, int] | None = None, kept: Sequence[Kept] = ()
) -> Iterator[None]:
    """Commit a batch: the cursor, the counts, and whatever the block writes. A stale token raises LostClaim."""
    merged = _added(claim.step.counts, counts or {})
    if kept:
        known = keeping.kept_of(claim.step, claim.vault)
        claim.step.sealed_kept = keeping.seal_kept(claim.step, keeping.added(known, kept), claim.vault)
    with transaction.atomic():
        _Change(claim)(
            sealed_cursor=seal_cursor(claim.step, cursor, claim.vault),
            done_count=F("done_count") + done,
            counts=merged,
            sealed_kept=claim.step.sealed_kept,
            attempts=0,
            blocked_since=None,
            reason="",
            until=None,
            lease_until=timezone.now() + timedelta(seconds=settings.STEP_LEASE_SECONDS),
        )
        yield
    claim.cursor, claim.step.counts = cursor, merged
    claim.step.done_count += done


def _added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) + more.get(name, 0) for name in {*counts, *more}}


def conclude(claim: Claim, **values: Any) -> None:
    """Mark the step as done, inside the transaction of what it has brought about."""
    lock(claim.request)
    _Change(claim)(
        state=Step.State.DONE, ended_at=timezone.now(), token=None, lease_until=None, worker="", attempts=0,
        reason="", until=None, blocked_since=None, next_try_at=None, **values,
    )  # fmt: skip
    claim.step.refresh_from_db()
    _record(claim.request, claim.step)
    closing = claim.request.steps.filter(phase__in=CLOSING, state=Step.State.BLOCKED).exclude(pk=claim.step.pk)
    closing.update(state=Step.State.PENDING, next_try_at=None)  # it looks whether a further archive or receipt is due


def done(claim: Claim, **values: Any) -> None:
    with transaction.atomic():
        conclude(claim, **values)


def rest(claim: Claim, **values: Any) -> None:
    """Let a closing step sleep until something else is done; call inside the transaction of what it published."""
    _Change(claim)(
        state=Step.State.BLOCKED, token=None, lease_until=None, worker="", attempts=0, next_try_at=None, reason="",
        sealed_cursor=None, **values,
    )  # fmt: skip


def again(claim: Claim, **values: Any) -> None:
    """Give the step back unharmed: other steps come first, or the process is asked to end."""
    _Change(claim)(state=Step.State.PENDING, token=None, lease_until=None, worker="", attempts=0, **values)


def give_turn(claim: Claim) -> None:
    """Give the step back after a turn's work, unharmed: a place without end, true or made up, keeps nobody else waiting."""
    with transaction.atomic():
        again(claim, next_try_at=timezone.now() + PAUSE_AFTER_TURN)


def block(claim: Claim, reason: str, *, until: date | None = None, next_try_at: datetime | None = None) -> None:
    """Set the step aside until it can go on by itself; its attempt is given back."""
    now = timezone.now()
    before = Step.objects.get(pk=claim.step.pk)
    since = before.blocked_since or now
    is_news = before.blocked_since is None or (before.reason, before.until) != (reason, until)
    with transaction.atomic():
        _Change(claim)(
            state=Step.State.BLOCKED, token=None, lease_until=None, worker="", attempts=max(before.attempts - 1, 0),
            reason=reason, until=until, blocked_since=since, next_try_at=next_try_at or now + pause_after(now - since),
        )  # fmt: skip
        if is_news:
            claim.step.refresh_from_db()
            _record(claim.request, claim.step)
            _wake_closing(claim)


def _wake_closing(claim: Claim) -> None:
    """Let a closing step look again where what a place says now is news: a person has found that something must stay."""
    steps = list(claim.request.steps.exclude(pk=claim.step.pk))
    for closing in (step for step in steps if step.phase in CLOSING and step.state == Step.State.BLOCKED):
        others = [claim.step, *(step for step in steps if step.pk != closing.pk)]
        if has_news(closing, others):
            _unchanged(closing).update(state=Step.State.PENDING, next_try_at=None)


def pause_after(blocked_for: timedelta) -> timedelta:
    """Return how long to wait: as long again as it has lasted, 30 seconds to an hour."""
    return min(max(blocked_for, SHORTEST_PAUSE), LONGEST_PAUSE)


def need_person(claim: Claim, reason: str) -> None:
    """Stop until a person has looked."""
    with transaction.atomic():
        _Change(claim)(
            state=Step.State.NEEDS_PERSON, token=None, lease_until=None, worker="", reason=reason, next_try_at=None,
            blocked_since=timezone.now(),
        )  # fmt: skip
        claim.step.refresh_from_db()
        _record(claim.request, claim.step)


def release(claim: Claim) -> None:
    """Give back a step that failed and was not concluded; the attempt counts. No effect on a concluded or lost one."""
    Step.objects.filter(pk=claim.step.pk, token=claim.token, state=Step.State.RUNNING).update(
        state=Step.State.PENDING, token=None, lease_until=None, worker="",
        next_try_at=timezone.now() + PAUSE_AFTER_FAILURE * 2 ** claim.step.attempts,
    )  # fmt: skip


def keep(claim: Claim) -> bool:
    """Renew the lease; False when the step is not ours any more."""
    until = timezone.now() + timedelta(seconds=settings.STEP_LEASE_SECONDS)
    mine = Step.objects.filter(pk=claim.step.pk, token=claim.token, state=Step.State.RUNNING)
    return mine.update(lease_until=until) == 1


def reopen(
    claim: Claim,
    step: Step,
    state: Step.State,
    reason: str,
    *,
    until: date | None = None,
    next_try_at: datetime | None = None,
) -> None:
    """Set a step that was done going again, or aside: the second look, which holds the request alone, found something."""
    now = timezone.now()
    with transaction.atomic():
        lock(claim.request)
        changed = Step.objects.filter(pk=step.pk, state=Step.State.DONE).update(
            state=state, reason=reason, until=until, next_try_at=next_try_at, ended_at=None,
            blocked_since=None if state == Step.State.PENDING else now, sealed_cursor=None,
        )  # fmt: skip
        if changed and state != Step.State.PENDING:
            step.refresh_from_db()
            _record(claim.request, step)


def note_intent(claim: Claim, entry_id: int) -> None:
    """Keep which entry announces what cannot be undone; inside the transaction that writes it, under the lock."""
    _Change(claim)(intent_entry=entry_id)
    claim.step.intent_entry = entry_id


def lock(request: PrivacyRequest) -> PrivacyRequest:
    """Lock the request's row for the rest of the transaction; a request that has ended raises LostClaim."""
    locked = PrivacyRequest.objects.select_for_update().filter(pk=request.pk, status__in=ACTIVE).first()
    if locked is None:
        raise LostClaim
    return locked


_RESULTS = {
    Step.Phase.COLLECT: "exported",
    Step.Phase.PURGE: "erased",
    Step.Phase.CORRECT: "corrected",
    Step.Phase.RESTRICT: "restricted",
    Step.Phase.LIFT: "lifted",
}
_EVENTS = {
    Step.State.DONE: Event.STEP_DONE,
    Step.State.BLOCKED: Event.STEP_BLOCKED,
    Step.State.NEEDS_PERSON: Event.STEP_NEEDS_PERSON,
}


def _record(request: PrivacyRequest, step: Step) -> None:
    """Write what became of a step into the log."""
    values: dict[str, Any] = {"step": step.pk, "phase": step.phase, "location": step.location_id}
    if step.state == Step.State.DONE:
        if step.location_id is not None:
            values |= {_RESULTS[Step.Phase(step.phase)]: step.done_count, "remaining": step.remaining}
    else:
        values["reason"] = step.reason or None
    if step.state == Step.State.BLOCKED:
        values["until"] = step.until
    audit.append(_EVENTS[Step.State(step.state)], about=request.handle, actor=Actor.system(), **values)
