"""The middle of a rectification or a restriction: a step for each place, then the receipt. Safe to repeat: a repeat changes 0.

A place that cannot do it by itself gets a task for a person, and the step goes on with what they have confirmed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.locations.contract import Change, Identity, Rectifies, Restricts, SeesFields
from apps.locations.errors import NoIdentity, Refused
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.requests import by_hand, claims, closing, receipts
from apps.requests.claims import Claim
from apps.requests.corrections import NOTHING, VALUES, Correction, called_wrong, correction_at, written_unseen
from apps.requests.doubting import knows_by, naming_kinds
from apps.requests.models import PrivacyRequest, Step, Task
from apps.requests.vault import details_of, seal_details
from apps.requests.who import copy_of, identity_now, identity_of, proven_addresses

ALL_DONE = "done"


def correct(claim: Claim) -> None:
    """Write in one place what was found to be right (GDPR Article 16)."""
    location, details = claim.step.location, claim.details
    if location is None or location.emptied_at is not None:
        return claims.done(claim)
    correction = correction_at(details, location)
    if correction.way == NOTHING:
        return claims.done(claim)
    connector = connector_for(location)
    if correction.way != VALUES or not isinstance(connector, Rectifies):
        return _act(claim, location, None)
    if _may_find_somebody_elses(claim, location, connector, correction):
        return _act(claim, location, None, Reason.PERHAPS_ANOTHERS)
    return _act(claim, location, partial(_rectify, claim, connector, _as_it_began(claim), correction.changes))


def _rectify(claim: Claim, connector: Rectifies, who: Identity, changes: Sequence[Change]) -> int:
    """Correct what still has to be. What is emptied leaves no trace, so what was there is noted before anything is written."""
    emptied = {change.field for change in changes if change.value is None}
    if emptied and isinstance(connector, SeesFields):
        there, seen = connector.fields_held(who, emptied), set(json.loads(claim.cursor or "[]"))
        if there - seen:
            with claims.progress(claim, json.dumps(sorted(there | seen))):
                pass
        changes = [change for change in changes if change.value is not None or change.field not in seen - there]
    return connector.rectify(who, changes)


def _may_find_somebody_elses(claim: Claim, location: Location, connector: Any, correction: Correction) -> bool:
    """Say whether a place outside knows people by something that this request itself calls wrong.

    What names one person, is wrong and was never proven may be somebody else's, and find their rows. Then a person looks;
    so they do where, with anything called wrong, a value would be written over whatever stands there.
    """
    if location.kind in settings.OWN_LOCATIONS:
        return False  # they know the person by the id of the row
    called = called_wrong(claim.details, _as_it_began(claim).values)
    if called and written_unseen(correction):
        return True  # refused when it is noted; but they may be known by more since
    return knows_by(connector, naming_kinds(called, proven_addresses(claim.request, claim.details)))


def _as_it_began(claim: Claim) -> Identity:
    """Return the person as they were known before anything was corrected: others may know them by what is wrong here."""
    if "identities" in claim.details:
        return identity_of(claim.request, claim.details)
    now = copy_of(identity_now(claim.request, claim.details))
    with transaction.atomic():
        locked = claims.lock(claim.request)
        details = details_of(locked, claim.vault)
        if "identities" not in details:
            details["identities"] = now
            PrivacyRequest.objects.filter(pk=locked.pk).update(sealed=seal_details(locked, details, claim.vault))
    return identity_of(locked, details)


def restrict(claim: Claim) -> None:
    """Have one place leave the person's data alone (GDPR Article 18)."""
    _mark(claim, on=True)


def lift(claim: Claim) -> None:
    """Have it used again; the person was told before (GDPR Article 18(3))."""
    _mark(claim, on=False)


def _mark(claim: Claim, *, on: bool) -> None:
    location = claim.step.location
    if location is None or location.emptied_at is not None:
        return claims.done(claim)
    connector = connector_for(location)
    if not isinstance(connector, Restricts):
        return _act(claim, location, None)
    return _act(claim, location, partial(connector.restrict, identity_of(claim.request, claim.details), on))


def _act(claim: Claim, location: Location, act: Callable[[], int] | None, why: str = Reason.BY_HAND) -> None:
    """Do it, or count what a person has done; where neither can be, ask a person, and say why."""
    if claim.cursor != ALL_DONE:
        task = by_hand.confirmed_task(claim.step)
        changed = task.item_count if task is not None else _try(claim, location, act, why)
        with claims.progress(claim, ALL_DONE, done=changed, counts={"items": changed} if changed else {}):
            Task.objects.filter(step=claim.step, confirmed_at__isnull=True).delete()  # the place could do it after all
    claims.done(claim)


def _try(claim: Claim, location: Location, act: Callable[[], int] | None, why: str) -> int:
    if act is None:
        by_hand.ask_person(claim, location, why)
    try:
        return act()
    except NoIdentity:
        by_hand.ask_person(claim, location, Reason.NO_IDENTITY)
    except Refused:
        by_hand.ask_person(claim, location, Reason.REFUSED)


def issue(claim: Claim) -> None:
    """Look at the list of places again, then issue the receipt. A restriction that is being lifted takes in no new place."""
    if not claim.cursor and not is_being_lifted(claim) and closing.add_missing_steps(claim):
        return
    receipts.issue_and_close(claim)


def is_being_lifted(claim: Claim) -> bool:
    return claim.request.steps.filter(phase=Step.Phase.LIFT).exists()


def can_by_itself(location: Location, phase: str) -> bool:
    """Say whether a place does such a step without a person."""
    wanted = Rectifies if phase == Step.Phase.CORRECT else Restricts
    return isinstance(connector_for(location), wanted)
