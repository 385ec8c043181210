"""What the receipt of a rectification or a restriction says beside what all receipts say: what was done in each place.

It holds counts and outcomes, never what was wrong or is right now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone

from apps.locations.reasons import Reason
from apps.requests.corrections import NOTHING, correction_at
from apps.requests.dates import utc
from apps.requests.models import Kind, PrivacyRequest, Step, Task
from apps.requests.regimes import regime_of

RECTIFIED, RESTRICTED, LIFTED = "rectified", "restricted", "lifted"
NOT_CONCERNED = "not_concerned"  # an officer found that nothing there was to be corrected
AS_ASKED = "nothing_to_change"  # nothing of the person is there, or it was so already


def places_of_change(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that the receipt is of: those of the lifting, once a restriction is being lifted."""
    places = [step for step in steps if step.location_id is not None]
    lifting = [step for step in places if step.phase == Step.Phase.LIFT]
    return lifting or places


def act_of(request: PrivacyRequest, places: Sequence[Step]) -> str:
    """Return what the receipt is about: RECTIFIED, RESTRICTED or LIFTED."""
    if request.kind == Kind.RECTIFICATION:
        return RECTIFIED
    return LIFTED if any(step.phase == Step.Phase.LIFT for step in places) else RESTRICTED


def change_body(request: PrivacyRequest, details: Mapping[str, Any], places: Sequence[Step]) -> dict[str, Any]:
    act = act_of(request, places)
    ground = regime_of(request.regime).asking_ground(details.get("asked", {}).get("ground", ""), request.kind)
    return {
        "act": act,
        "done_at": utc(max((step.ended_at for step in places if step.ended_at), default=timezone.now())),
        "ground": str(ground.article) if ground else None,
        "places": [_place(step, act, details) for step in places],
    }


def _place(step: Step, act: str, details: Mapping[str, Any]) -> dict[str, Any]:
    location = step.location
    assert location is not None  # noqa: S101  # only steps of places come here
    task = Task.objects.filter(step=step).only("confirmed_at").first()
    return {
        "place": location.name,
        "kind": location.kind,
        "country": location.country,
        "outcome": _outcome(step, act, details),
        "changed": step.done_count,
        "reason": step.reason or None,
        "reason_text": str(Reason(step.reason).label) if step.reason else None,
        "until": step.until.isoformat() if step.until else None,
        "confirmed_by_person_at": utc(task.confirmed_at) if task else None,
    }


def _outcome(step: Step, act: str, details: Mapping[str, Any]) -> str:
    if step.state != Step.State.DONE:
        return "blocked" if step.state == Step.State.BLOCKED else "needs_person"
    if step.done_count:
        return act
    is_spared = act == RECTIFIED and step.location is not None
    if is_spared and step.location and correction_at(details, step.location).way == NOTHING:
        return NOT_CONCERNED
    return AS_ASKED
