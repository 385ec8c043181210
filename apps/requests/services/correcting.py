"""Noting what is corrected where, before a rectification is approved, or when a place could not do what was noted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.models import Location
from apps.requests.corrections import Correction, called_wrong, corrections_of, with_corrections, written_unseen
from apps.requests.engine import poke
from apps.requests.errors import FoundThereWanted, WrongStatus
from apps.requests.models import Kind, PrivacyRequest, Status, Step
from apps.requests.schedule import ACTIVE
from apps.requests.services.changing import lock_request
from apps.requests.services.deciding import refuse_own
from apps.requests.vault import details_of, open_vault, seal_details
from apps.requests.who import identity_of


@transaction.atomic
def note_corrections(request: PrivacyRequest, corrections: Mapping[Location, Correction], *, actor: Actor) -> None:
    """Keep what becomes of each place given, in the place of what was said before. Raises WrongStatus, FoundThereWanted.

    Once work has begun only of places that wait for a person or could not be reached: the others are done or at work.
    """
    refuse_own(request, actor)
    lock_request(request, Status.IN_REVIEW, *ACTIVE)
    if request.kind != Kind.RECTIFICATION or not set(corrections) <= set(open_places(request)):
        raise WrongStatus(request.reference)
    vault = open_vault(request)
    said = {str(location.pk): one for location, one in corrections.items()}
    details = with_corrections(details_of(request, vault), said)
    _check_found_there(request, details)
    PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, vault))
    number = sum(len(one.changes) for one in corrections.values())
    audit.append(
        Event.CORRECTIONS_NOTED, about=request.handle, actor=actor, locations=len(corrections), corrections=number
    )
    _waiting(request).filter(location__in=corrections).update(
        state=Step.State.PENDING, attempts=0, next_try_at=None, reason="", until=None, blocked_since=None
    )
    poke(request.pk)
    request.refresh_from_db()


def _check_found_there(request: PrivacyRequest, details: dict[str, Any]) -> None:
    """Where something the person is known by is called wrong, refuse to write outside over whatever stands there."""
    if not called_wrong(details, identity_of(request, details).values):
        return
    unseen = [pk for pk, one in corrections_of(details).items() if written_unseen(one)]
    places = list(Location.objects.filter(pk__in=unseen).exclude(kind__in=settings.OWN_LOCATIONS))
    if places:
        raise FoundThereWanted(places)


def open_places(request: PrivacyRequest) -> list[Location]:
    """Return the places for which it can still be said what is to be corrected there."""
    if request.status == Status.IN_REVIEW:
        return list(Location.objects.that_ever_held_data())
    return [step.location for step in _waiting(request) if step.location is not None]


def _waiting(request: PrivacyRequest) -> QuerySet[Step]:
    """Return the steps that did not go as it was said, and of which nobody has confirmed anything."""
    waiting = (Step.State.NEEDS_PERSON, Step.State.BLOCKED)
    steps = request.steps.filter(phase=Step.Phase.CORRECT, state__in=waiting).select_related("location")
    return steps.exclude(task__confirmed_at__isnull=False)
