"""What a person is known by may be somebody else's: while a rectification calls it wrong, nobody's data is taken by it.

What names one person, is called wrong and was never proven would find another's rows in a place outside. Rectifications
leave such a place to a person (amending.py). A copy waits there until the rectification has ended and takes the rest
meanwhile; an erasure, which cannot be taken back, is not approved before, and does not begin (services, erasure.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from apps.locations.contract import DoneByHand, Recognises
from apps.locations.models import Location
from apps.locations.registry import connector_for
from apps.requests.asking import CONVERSATION
from apps.requests.corrections import called_wrong
from apps.requests.models import ENDED, Kind, PrivacyRequest
from apps.requests.vault import details_of
from apps.requests.who import named_values, proven_addresses
from apps.sealing.blind import normalise

SHARED = ("name", "phone")  # kinds of identity that two people can have in common, so that a wrong one names nobody
BETWEEN_WORDS = re.compile(r"[\s,;:()<>\"'“”‘’，；：（）。]+")

Values = Iterable[tuple[str, str]]


def naming_kinds(called: Values, proven: Iterable[str]) -> set[str]:
    """Return the kinds of what names one person and is not an address at which they were reached."""
    reached = {normalise(address) for address in proven}
    return {
        kind for kind, value in called if kind not in SHARED and not (kind == "email" and normalise(value) in reached)
    }


def knows_by(connector: Any, kinds: set[str]) -> bool:
    """Say whether a place knows people by one of these, or does not say by what."""
    return bool(kinds) and not (isinstance(connector, Recognises) and kinds.isdisjoint(connector.identity_kinds()))


def doubted_kinds(request: PrivacyRequest, details: Mapping[str, Any]) -> set[str]:
    """Return the kinds of what the person is known by that a rectification of theirs calls wrong and that has not ended."""
    if request.subject_id is None:
        return set()
    theirs = PrivacyRequest.objects.filter(subject_id=request.subject_id, kind=Kind.RECTIFICATION)
    opened = theirs.exclude(status__in=ENDED).exclude(pk=request.pk).filter(key_id__isnull=False)
    found = [details_of(one) for one in opened]
    if not found:
        return set()
    known = named_values(request, dict(details))
    called = [pair for one in found for pair in [*called_wrong(one, known), *_asked_about(one, known)]]
    return naming_kinds(called, proven_addresses(request, dict(details)))


def is_doubted(request: PrivacyRequest, details: Mapping[str, Any], locations: Iterable[Location]) -> bool:
    """Say whether one of these places would be asked by something that may be somebody else's."""
    kinds = doubted_kinds(request, details)
    outside = [place for place in locations if place.kind not in settings.OWN_LOCATIONS] if kinds else []
    connectors = (connector_for(place) for place in outside)  # our own know the person by the id of the row
    return any(knows_by(one, kinds) for one in connectors if not isinstance(one, DoneByHand))


def waits_for_rectification(request: PrivacyRequest) -> bool:
    """Say whether an erasure cannot be approved yet: everything that every place holds would go, somebody else's too."""
    places = Location.objects.that_ever_held_data()
    return request.kind == Kind.ERASURE and is_doubted(request, details_of(request), places)


def _asked_about(details: Mapping[str, Any], known: Values) -> list[tuple[str, str]]:
    """Return what of these the person has named as wrong in their own words, before an officer says what is corrected."""
    asked = details.get("asked", {})
    if asked.get("where") == CONVERSATION:
        return []  # it is about what stands in the text
    wrong = asked.get("wrong", "")
    words = {normalise(word.strip(".")) for word in [wrong, *BETWEEN_WORDS.split(wrong)]}
    return [(kind, value) for kind, value in known if normalise(value) in words]
