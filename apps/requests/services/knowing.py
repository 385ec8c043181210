"""What else a person is known by: places know people by different things, and not all of them come in by themselves."""

from __future__ import annotations

from django.db import transaction

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records import subjects
from apps.records.errors import IdentityTaken, SubjectFrozen
from apps.requests.models import PrivacyRequest
from apps.requests.services.changing import OPEN, lock_request
from apps.requests.vault import details_of, open_vault, seal_details
from apps.requests.who import subject_of


def note_identity(request: PrivacyRequest, kind: str, value: str, *, actor: Actor) -> None:
    """Note something the person is known by, so that every place of this request is asked with it. A repeat does nothing.

    It is kept with the person, for their next requests; where they are not known to us, or an erasure has begun, with
    the request alone. Raises IdentityTaken when it is somebody else's.

    An address is kept with the request alone too: whoever proves one at sign-up is given what its person has.
    """
    subject = subject_of(request)
    if kind == "email":
        if any(subject is None or owner.pk != subject.pk for owner in subjects.find_by_identity(kind, value)):
            raise IdentityTaken
        subject = None
    if subject is not None:
        try:
            subjects.add_identity(subject, kind, value, actor=actor)
        except SubjectFrozen:
            subject = None
    if subject is not None and not _has_copy(request):
        return
    with transaction.atomic():
        lock_request(request, *OPEN)
        vault = open_vault(request)
        details = details_of(request, vault)
        pair = [kind, value.strip()]
        if pair in details.get("known_by", []):
            return
        details["known_by"] = [*details.get("known_by", []), pair]
        PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, vault))
        audit.append(Event.IDENTITY_ADDED, about=request.handle, actor=actor, identities=1)


def _has_copy(request: PrivacyRequest) -> bool:
    """Say whether the request works from its own copy already, which a new identity of the person would not reach."""
    return "identities" in details_of(request)
