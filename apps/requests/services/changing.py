"""What can happen to a request on its way: withdrawn, extended, written about, set going again, lapsed."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.records import subjects
from apps.requests import letters
from apps.requests.closing import mark_ended
from apps.requests.engine import poke
from apps.requests.errors import AlreadyExtended, EmptyText, ErasureBegun, TooLate, WrongStatus
from apps.requests.models import CHANGES, Kind, Message, PrivacyRequest, Status, Step
from apps.requests.regimes import regime_of
from apps.requests.schedule import ACTIVE
from apps.requests.services.deciding import UNDECIDED, refuse_own, write_message
from apps.requests.vault import open_vault

OPEN = (*UNDECIDED, *ACTIVE)


@transaction.atomic
def withdraw_request(request: PrivacyRequest, *, actor: Actor) -> None:
    """Stop. What was collected is destroyed soon after; an erasure can be withdrawn until its intent is in the log.

    A rectification or a restriction until its work begins; a restriction that is carried out is lifted (lifting.py).
    """
    refuse_own(request, actor)
    lock_request(request, *OPEN)
    if request.status == Status.PARTLY_COMPLETED:
        raise WrongStatus(request.reference)
    if request.kind in CHANGES and request.status == Status.RUNNING:
        raise WrongStatus(request.reference)  # places have begun to change, and nobody could say which
    if request.steps.filter(phase=Step.Phase.DESTROY, intent_entry__isnull=False).exists():
        raise ErasureBegun(request.reference)
    mark_ended(request, Status.WITHDRAWN)
    if request.kind == Kind.ERASURE and request.subject_id is not None:
        subjects.thaw_subject(request.subject_id)
    audit.append(Event.REQUEST_WITHDRAWN, about=request.handle, actor=actor)
    request.refresh_from_db()
    letters.withdrawn(request, open_vault(request))


@transaction.atomic
def extend_deadline(request: PrivacyRequest, *, text: str, actor: Actor) -> date:
    """Take the longer period that the law allows; told with a reason, inside the first period, once."""
    refuse_own(request, actor)
    lock_request(request, *OPEN)
    if not text.strip():
        raise EmptyText
    today = timezone.now().astimezone(ZoneInfo(settings.TIME_ZONE)).date()
    clock = request.clocks.filter(duty="respond", met_at__isnull=True).order_by("due_on").first()
    regime = regime_of(request.regime)
    if clock is None or regime.extended is None:
        raise WrongStatus(request.reference)
    if clock.extended_on is not None:
        raise AlreadyExtended(request.reference)
    if today > clock.due_on:
        raise TooLate(request.reference)
    clock.due_on, clock.extended_on = extended_until(request), today
    clock.save(update_fields=["due_on", "extended_on"])
    due_on = min(request.clocks.filter(met_at__isnull=True).values_list("due_on", flat=True))
    PrivacyRequest.objects.filter(pk=request.pk).update(due_on=due_on)
    audit.append(Event.REQUEST_EXTENDED, about=request.handle, actor=actor, due=due_on, regime=request.regime)
    request.refresh_from_db()
    vault = open_vault(request)
    write_message(request, text, vault, is_from_person=False)
    letters.extended(request, vault, text=text)
    return due_on


def extended_until(request: PrivacyRequest) -> date:
    """Return the last day of the longer period, for whoever wants to say it beforehand; raises WrongStatus."""
    regime = regime_of(request.regime)
    if regime.extended is None:
        raise WrongStatus(request.reference)
    return regime.due(regime.extended, request.received_at.astimezone(ZoneInfo(settings.TIME_ZONE)).date())


@transaction.atomic
def send_message(request: PrivacyRequest, text: str, *, actor: Actor) -> Message:
    """Write to the other side; a letter tells the person that there is a message, and not what stands in it."""
    refuse_own(request, actor)
    if not text.strip():
        raise EmptyText
    vault = open_vault(request)
    is_from_person = actor.role == Role.PERSON
    message = write_message(request, text, vault, is_from_person=is_from_person)
    audit.append(Event.MESSAGE_SENT, about=request.handle, actor=actor, from_person=is_from_person)
    if not is_from_person:
        letters.message_sent(request, vault)
    return message


@transaction.atomic
def waive_archive_first(request: PrivacyRequest, *, actor: Actor) -> None:
    """Let an erasure go on although the person has not fetched their copy: they say so, or staff decide."""
    refuse_own(request, actor)
    lock_request(request, *OPEN)
    changed = PrivacyRequest.objects.filter(pk=request.pk, waives_archive_first=False).update(waives_archive_first=True)
    if changed:
        request.steps.filter(phase=Step.Phase.PREPARE, state=Step.State.BLOCKED).update(next_try_at=timezone.now())
        audit.append(Event.COPY_WAIVED, about=request.handle, actor=actor)
        poke(request.pk)
    request.refresh_from_db()


@transaction.atomic
def retry_step(step: Step, *, actor: Actor) -> None:
    """Set a step going again that waits for a person, or does not have to wait any longer."""
    request = step.request
    refuse_own(request, actor)
    lock_request(request, *ACTIVE)
    changed = Step.objects.filter(pk=step.pk, state__in=(Step.State.NEEDS_PERSON, Step.State.BLOCKED)).update(
        state=Step.State.PENDING, attempts=0, next_try_at=None, reason="", until=None, blocked_since=None
    )
    if not changed:
        raise WrongStatus(request.reference)
    audit.append(
        Event.STEP_RETRIED,
        about=request.handle,
        actor=actor,
        step=step.pk,
        phase=step.phase,
        location=step.location_id,
    )
    poke(request.pk)


@transaction.atomic
def lapse_request(request: PrivacyRequest, *, actor: Actor) -> None:
    """Close a request whose identity was not confirmed in time (11 CCR 7021(b)); the person is told and may ask again."""
    lock_request(request, Status.RECEIVED, Status.VERIFYING)
    mark_ended(request, Status.LAPSED)
    audit.append(Event.REQUEST_LAPSED, about=request.handle, actor=actor)
    request.refresh_from_db()
    letters.lapsed(request, open_vault(request))


@transaction.atomic
def look_at_request(request: PrivacyRequest, *, purpose: str, actor: Actor) -> None:
    """Record that staff look at a request, and why: the person is shown it (C-579/21). If it fails, the page fails."""
    audit.append(Event.REQUEST_LOOKED_AT, about=request.handle, actor=actor, purpose=purpose)


def lock_request(request: PrivacyRequest, *statuses: str) -> None:
    """Lock the request's row and refresh it; raises WrongStatus unless it is in one of the states."""
    if not PrivacyRequest.objects.select_for_update().filter(pk=request.pk, status__in=statuses).first():
        raise WrongStatus(request.reference)
    request.refresh_from_db()
