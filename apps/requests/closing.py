"""The end of a request: what is common to publishing an archive and to issuing a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests import claims
from apps.requests.claims import Claim
from apps.requests.clocks import add_months
from apps.requests.models import Kind, PrivacyRequest, Status, Step
from apps.requests.schedule import count_dated, count_done, step_for


def other_steps(claim: Claim) -> list[Step]:
    """Return the request's other steps as they are now."""
    steps = claim.request.steps.select_related("location", "task").exclude(pk=claim.step.pk)
    return list(steps.order_by("order", "pk"))


def add_missing_steps(claim: Claim) -> bool:
    """Look at the list of places again: one that was added meanwhile gets a step, and this one waits for it."""
    planned = claim.request.steps.filter(location__isnull=False).values("location_id")
    missing = list(Location.objects.that_ever_held_data().exclude(pk__in=planned))
    if not missing:
        return False
    with transaction.atomic():
        claims.lock(claim.request)
        Step.objects.bulk_create(step_for(claim.request, location) for location in missing)
        claims.again(claim)
    return True


@contextmanager
def publishing(claim: Claim, others: Sequence[Step]) -> Iterator[bool]:
    """Commit the end, or the end for now, with whatever the block writes; yields whether every place is done."""
    number_done = count_done(others)
    is_final = number_done == len(others)
    with transaction.atomic():
        claims.lock(claim.request)
        if is_final:
            claims.conclude(claim)
        else:
            claims.rest(claim, counts={"done_when_published": number_done, "dated_when_published": count_dated(others)})
        yield is_final
        _end(claim.request, others, is_final)


def _end(request: PrivacyRequest, others: Sequence[Step], is_final: bool) -> None:
    now = timezone.now()
    request.clocks.filter(met_at__isnull=True).update(met_at=now)  # the person has an answer, with its reasons
    if is_final:
        mark_ended(request, Status.COMPLETED)
    else:
        PrivacyRequest.objects.filter(pk=request.pk).update(status=Status.PARTLY_COMPLETED)
    request.refresh_from_db()
    audit.append(
        Event.REQUEST_COMPLETED if is_final else Event.REQUEST_PARTLY_COMPLETED,
        about=request.handle,
        actor=Actor.system(),
        steps=len(others) + 1,
        blocked=sum(step.state == Step.State.BLOCKED for step in others),
        needs_person=sum(step.state == Step.State.NEEDS_PERSON for step in others),
    )


def mark_ended(request: PrivacyRequest, status: Status, *, ground: str = "") -> None:
    """Write the end and until when the record of it is kept. The caller has made sure of the state before."""
    now = timezone.now()
    PrivacyRequest.objects.filter(pk=request.pk).update(
        status=status, ground=ground, ended_at=now, retain_until=retained_until(now.date())
    )
    request.steps.exclude(state=Step.State.DONE).delete()  # whoever is at one of them cannot commit it any more
    request.clocks.filter(met_at__isnull=True).update(met_at=now)
    if request.kind == Kind.RECTIFICATION and request.subject_id is not None:  # what waited for it goes on at once
        theirs = Step.objects.filter(request__subject_id=request.subject_id, state=Step.State.BLOCKED)
        theirs.filter(reason=Reason.DOUBTED).update(next_try_at=now)


def retained_until(ended_on: date) -> date:
    """Records of requests are kept at least 24 months (11 CCR 7101(a)), dates and outcome only."""
    return add_months(ended_on, settings.REQUEST_RETENTION_MONTHS)
