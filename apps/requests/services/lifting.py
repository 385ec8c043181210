"""A restriction while it stands, and its end: the person is told beforehand, and on the day every place is asked to lift it.

GDPR Article 18(3). The request goes on for that: a step for each place, then a further receipt. A place that is added
while it stands is asked to restrict, too.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.models import Location
from apps.requests import letters
from apps.requests.dates import today
from apps.requests.engine import poke
from apps.requests.errors import EmptyText, TooSoon, WrongStatus
from apps.requests.models import Kind, PrivacyRequest, Status, Step
from apps.requests.schedule import FIRST, step_for
from apps.requests.services.changing import lock_request
from apps.requests.services.deciding import refuse_own, write_message
from apps.requests.vault import open_vault

CARRIED_OUT = (Status.COMPLETED, Status.PARTLY_COMPLETED)
MOST_AT_ONCE = 100


def standing_restrictions() -> QuerySet[PrivacyRequest]:
    """Return the restrictions that were carried out and whose end has not begun."""
    restricted = PrivacyRequest.objects.filter(kind=Kind.RESTRICTION, status__in=CARRIED_OUT, lifted_at__isnull=True)
    return restricted.exclude(steps__phase=Step.Phase.LIFT)


def is_standing(request: PrivacyRequest) -> bool:
    return standing_restrictions().filter(pk=request.pk).exists()


@transaction.atomic
def announce_lift(request: PrivacyRequest, *, on: date, text: str, actor: Actor) -> None:
    """Tell the person that the restriction ends, when and why. Said again, the new day counts.

    Raises EmptyText, TooSoon, and WrongStatus where no restriction stands.
    """
    refuse_own(request, actor)
    lock_request(request, *CARRIED_OUT)
    if not is_standing(request):
        raise WrongStatus(request.reference)
    if not text.strip():
        raise EmptyText
    if on <= today():
        raise TooSoon(request.reference)
    PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=on)
    request.refresh_from_db()
    vault = open_vault(request)
    write_message(request, text, vault, is_from_person=False)
    audit.append(Event.LIFT_ANNOUNCED, about=request.handle, actor=actor, on=on)
    letters.lift_announced(request, vault, text=text)


def lift_due_restrictions() -> int:
    """Begin to lift what was announced for today or before; return how many."""
    due = standing_restrictions().filter(lift_on__lte=today()).order_by("lift_on")
    return sum(_begin(request) for request in list(due[:MOST_AT_ONCE]))


@transaction.atomic
def _begin(request: PrivacyRequest) -> int:
    """Plan a step for every place that was restricted, or may have been; what was never begun is not begun any more."""
    try:
        lock_request(request, *CARRIED_OUT)
    except WrongStatus:  # somebody else was faster
        return 0
    if not is_standing(request):
        return 0
    restricted = request.steps.filter(phase=Step.Phase.RESTRICT)
    if _is_at_work(restricted):
        return 0  # what it marks now would stay marked; an hour later it has ended
    begun = [step for step in restricted if step.state == Step.State.DONE or step.started_at is not None]
    Step.objects.bulk_create(
        Step(request=request, location_id=step.location_id, phase=Step.Phase.LIFT, order=FIRST) for step in begun
    )
    restricted.exclude(state=Step.State.DONE).delete()
    _go_on(request)
    audit.append(Event.LIFT_BEGUN, about=request.handle, actor=Actor.system(), steps=len(begun))
    poke(request.pk)
    return 1


def extend_restrictions() -> int:
    """Plan a step for every place that was added while a restriction stands; return how many were planned."""
    planned = Step.objects.filter(request=OuterRef(OuterRef("pk")), location__isnull=False).values("location")
    wanting = Location.objects.that_ever_held_data().exclude(pk__in=planned)
    incomplete = standing_restrictions().filter(Exists(wanting)).order_by("pk")
    return sum(_extend(request) for request in list(incomplete[:MOST_AT_ONCE]))


@transaction.atomic
def _extend(request: PrivacyRequest) -> int:
    """Ask the places that were added since as well; a further receipt names them."""
    try:
        lock_request(request, *CARRIED_OUT)
    except WrongStatus:  # somebody else was faster
        return 0
    if not is_standing(request) or _is_at_work(request.steps.all()):
        return 0
    planned = request.steps.filter(location__isnull=False).values("location")
    added = [step_for(request, place) for place in Location.objects.that_ever_held_data().exclude(pk__in=planned)]
    if not added:  # another worker has planned them meanwhile
        return 0
    Step.objects.bulk_create(added)
    _go_on(request)
    audit.append(Event.RESTRICTION_EXTENDED, about=request.handle, actor=Actor.system(), steps=len(added))
    poke(request.pk)
    return len(added)


def _is_at_work(steps: QuerySet[Step]) -> bool:
    return steps.filter(state=Step.State.RUNNING, lease_until__gt=timezone.now()).exists()


def _go_on(request: PrivacyRequest) -> None:
    """Have the request carried on with steps that were added, and end with a further receipt."""
    request.steps.filter(phase=Step.Phase.RECEIPT).update(
        state=Step.State.PENDING, sealed_cursor=None, counts={}, ended_at=None, next_try_at=None
    )
    PrivacyRequest.objects.filter(pk=request.pk).update(
        status=Status.PARTLY_COMPLETED, ended_at=None, retain_until=None
    )
