"""Which step comes next: pure functions of a request's steps, and the look-up of what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests.models import Kind, PrivacyRequest, Status, Step
from apps.requests.workers import is_gone

ACTIVE = (Status.APPROVED, Status.COOLING_OFF, Status.RUNNING, Status.PARTLY_COMPLETED)
CLOSING = (Step.Phase.FINISH, Step.Phase.VERIFY, Step.Phase.RECEIPT)
COUNTS_AS_BLOCKED_AFTER = timedelta(hours=24)  # a place that does not answer holds up the rest for so long, not longer
TRANSIENT = (Reason.UNREACHABLE, Reason.STORAGE_FULL, Reason.NOT_SIGNED)

FIRST, KEYS, OUTSIDE, OWN, LAST = 0, 10, 20, 30, 90

# Of each kind the phase of its places, and its own steps with their order.
PLACES: dict[str, Step.Phase] = {
    Kind.ACCESS: Step.Phase.COLLECT,
    Kind.PORTABILITY: Step.Phase.COLLECT,
    Kind.ERASURE: Step.Phase.PURGE,
    Kind.RECTIFICATION: Step.Phase.CORRECT,
    Kind.RESTRICTION: Step.Phase.RESTRICT,
}
OWN_STEPS: dict[str, tuple[tuple[Step.Phase, int], ...]] = {
    Kind.ACCESS: ((Step.Phase.FINISH, LAST),),
    Kind.PORTABILITY: ((Step.Phase.FINISH, LAST),),
    Kind.ERASURE: ((Step.Phase.PREPARE, FIRST), (Step.Phase.DESTROY, KEYS), (Step.Phase.VERIFY, LAST)),
    Kind.RECTIFICATION: ((Step.Phase.RECEIPT, LAST),),
    Kind.RESTRICTION: ((Step.Phase.RECEIPT, LAST),),
}


def plan(request: PrivacyRequest, locations: Sequence[Location]) -> list[Step]:
    """Return the steps of a request: one for every place, and the request's own. A switched-off place needs a person."""
    steps = [Step(request=request, phase=phase, order=order) for phase, order in OWN_STEPS[request.kind]]
    return steps + [step_for(request, location) for location in locations]


def step_for(request: PrivacyRequest, location: Location) -> Step:
    step = Step(request=request, location=location, phase=PLACES[request.kind])
    step.order = _order(location) if request.kind == Kind.ERASURE else FIRST
    if not location.is_enabled:
        step.state, step.reason, step.blocked_since = Step.State.NEEDS_PERSON, Reason.DISABLED, timezone.now()
    return step


def _order(location: Location) -> int:
    """Own rows go after own objects; the account, by which the person is known, goes last."""
    return OWN + ["records", "account"].index(location.kind) if location.kind in ("records", "account") else OUTSIDE


def next_due(request_id: UUID, now: datetime) -> Step | None:
    """Return the step that could be claimed now, without taking it."""
    request = PrivacyRequest.objects.filter(pk=request_id, status__in=ACTIVE).first()
    if request is None:
        return None
    steps = list(request.steps.select_related("location").order_by("order", "pk"))
    return next((step for step in steps if is_due(step, steps, request, now)), None)


def is_due(step: Step, steps: Sequence[Step], request: PrivacyRequest, now: datetime) -> bool:
    if is_cooling_off(request, now) or not _is_free(step, now):
        return False
    others = [other for other in steps if other.pk != step.pk]
    if any(other.order > step.order and _holds_others_up(other, now) for other in others):
        return False  # what closes a request does so alone
    if step.phase in CLOSING:
        return all(is_settled(other, now) for other in others) and has_news(step, others)
    return all(_is_out_of_the_way(other, step, now) for other in others if other.order < step.order)


def is_cooling_off(request: PrivacyRequest, now: datetime) -> bool:
    return request.status == Status.COOLING_OFF and (request.cooling_off_until or now) > now


def _is_free(step: Step, now: datetime) -> bool:
    if step.state == Step.State.PENDING:
        return step.next_try_at is None or step.next_try_at <= now
    if step.state == Step.State.BLOCKED:
        return step.next_try_at is not None and step.next_try_at <= now
    return step.state == Step.State.RUNNING and not _is_held(step, now)


def _holds_others_up(step: Step, now: datetime) -> bool:
    """Say whether a step works, or has begun to publish: then what it publishes may not change until it has ended."""
    return _is_held(step, now) or (step.phase in CLOSING and step.sealed_cursor is not None)


def _is_held(step: Step, now: datetime) -> bool:
    return step.state == Step.State.RUNNING and step.lease_until is not None and step.lease_until > now


def _is_out_of_the_way(lower: Step, step: Step, now: datetime) -> bool:
    """Say whether a step of a lower order lets this one begin. The rows of our own wait for no outside place."""
    if lower.location is None or step.location is None:
        return lower.state == Step.State.DONE
    return lower.location.kind not in settings.OWN_LOCATIONS or is_settled(lower, now)


def is_settled(step: Step, now: datetime) -> bool:
    """Say whether nothing more is to be expected of a step for now, so that the answer need not wait for it."""
    if step.state in (Step.State.DONE, Step.State.NEEDS_PERSON):
        return True
    if step.state != Step.State.BLOCKED or step.reason == Reason.WAITS_FOR_ARCHIVE:
        return False
    since = step.blocked_since or now
    return step.reason not in TRANSIENT or since <= now - COUNTS_AS_BLOCKED_AFTER


def has_news(step: Step, others: Sequence[Step]) -> bool:
    """Say whether more is done than at the last archive or receipt; for a receipt, also whether more places name a day."""
    last = step.counts.get("done_when_published")
    if step.sealed_cursor is not None or last is None or last < count_done(others):
        return True
    dated = count_dated(others)
    return step.phase == Step.Phase.VERIFY and step.counts.get("dated_when_published", dated) < dated


def count_done(steps: Sequence[Step]) -> int:
    return sum(step.state == Step.State.DONE for step in steps)


def count_dated(steps: Sequence[Step]) -> int:
    """Count the places that keep something until a day that they name."""
    return sum(step.state == Step.State.BLOCKED and step.until is not None for step in steps)


def due_requests(now: datetime) -> QuerySet[Step, UUID]:
    """Return the ids of requests of which a step may be due, those whose answer is due first."""
    free = (
        Q(state=Step.State.PENDING, next_try_at__isnull=True)
        | Q(state__in=(Step.State.PENDING, Step.State.BLOCKED), next_try_at__lte=now)
        | Q(state=Step.State.RUNNING, lease_until__lte=now)
    )
    steps = Step.objects.filter(free, request__status__in=ACTIVE)
    steps = steps.exclude(request__status=Status.COOLING_OFF, request__cooling_off_until__gt=now)
    return steps.order_by("request__due_on").values_list("request_id", flat=True).distinct()


def free_lost_steps() -> int:
    """End the leases of processes of this machine that do not run any more; return how many."""
    running = Step.objects.filter(state=Step.State.RUNNING, lease_until__gt=timezone.now())
    lost = [step for step in running.only("pk", "token", "worker") if is_gone(step.worker)]
    now = timezone.now()
    return sum(Step.objects.filter(pk=step.pk, token=step.token).update(lease_until=now) for step in lost)
