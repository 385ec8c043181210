"""What else a person is known by: places know people by different things, and not all of them come in by themselves."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.accounts.access import holds_permission
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records import subjects
from apps.records.errors import IdentityTaken, SubjectFrozen
from apps.records.models import Identity
from apps.requests.errors import NoterLeft, NothingNoted, SamePerson
from apps.requests.models import Kind, PrivacyRequest, Status
from apps.requests.services.changing import OPEN, lock_request
from apps.requests.services.deciding import REVIEW, is_erasure_decided, refuse_own
from apps.requests.vault import details_of, open_vault, seal_details
from apps.requests.who import identity_of, subject_of

NOTED, UNCONFIRMED = "known_by", "unconfirmed"  # in the sealed details: (kind, value); (kind, value, who noted it)


def note_identity(request: PrivacyRequest, kind: str, value: str, *, officer: User, actor: Actor) -> bool:
    """Note something the person is known by, so that every place of this request is asked with it. A repeat does nothing.

    It decides whose data goes, so it counts no less than the approvals. Those that were given without it are void; and
    once an erasure has been let go, it waits for another person's yes: then the answer is False.
    Raises IdentityTaken when it is somebody else's, OwnRequest when the officer would say so of themselves.
    """
    refuse_own(request, actor, officer)
    value = value.strip()
    with transaction.atomic():
        lock_request(request, *OPEN)
        if was_let_go(request):
            _refuse_somebody_elses(request, kind, value)
            _keep(request, UNCONFIRMED, [kind, value, str(officer.pk)], actor)
            return False
        _add(request, kind, value, actor)
    return True


def confirm_noted(request: PrivacyRequest, kind: str, value: str, *, officer: User, actor: Actor) -> None:
    """Say yes to what somebody else has noted; from now on every place is asked with it. Raises SamePerson, OwnRequest,
    NothingNoted. Whoever noted it must be one who still may: otherwise it is taken back, and NoterLeft raised.
    """
    refuse_own(request, actor, officer)
    with transaction.atomic():
        lock_request(request, *OPEN)
        by = [row[2] for row in details_of(request).get(UNCONFIRMED, []) if row[:2] == [kind, value]]
        if not by:
            raise NothingNoted(request.reference)
        if str(officer.pk) in by:
            raise SamePerson(request.reference)
        _drop(request, kind, value)
        stands = all(holds_permission(UUID(one), REVIEW) for one in by)
        if stands:
            _add(request, kind, value, actor)
        else:
            audit.append(Event.IDENTITY_REMOVED, about=request.handle, actor=actor, identities=1)
    if not stands:
        raise NoterLeft(request.reference)


def drop_noted(request: PrivacyRequest, kind: str, value: str, *, actor: Actor) -> None:
    """Take back what was noted and not confirmed; a repeat does nothing."""
    refuse_own(request, actor)
    with transaction.atomic():
        lock_request(request, *OPEN)
        if _drop(request, kind, value):
            audit.append(Event.IDENTITY_REMOVED, about=request.handle, actor=actor, identities=1)


def was_let_go(request: PrivacyRequest) -> bool:
    """Say whether this erasure was approved, by whomever, so that nobody may change alone whose data it takes."""
    if request.kind != Kind.ERASURE or request.status == Status.IN_REVIEW:
        return False
    return request.approvals.exists()


def _add(request: PrivacyRequest, kind: str, value: str, actor: Actor) -> None:
    """Keep it with the person, for their next requests; where they are not known to us, or an erasure has begun, with
    the request alone. An address is kept with the request alone too: whoever proves one at sign-up is given what its
    person has. So is everything while somebody has said yes to an erasure of theirs: noted with another request, it would
    change what that erasure takes.
    """
    is_new = (kind, value) not in identity_of(request, details_of(request)).values
    subject = subject_of(request)
    _refuse_somebody_elses(request, kind, value)
    if kind == "email" or is_erasure_decided(request):
        subject = None
    if subject is not None:
        try:
            subjects.add_identity(subject, kind, value, actor=actor)
        except SubjectFrozen:
            subject = None
    if subject is None or _has_copy(request):
        _keep(request, NOTED, [kind, value], actor)
    if is_new:
        void_approvals(request, actor)


def void_approvals(request: PrivacyRequest, actor: Actor) -> None:
    """Have those who said yes already look again: what they said yes to has become something else."""
    if request.status != Status.IN_REVIEW:
        return
    count = request.approvals.count()
    if count:
        request.approvals.all().delete()
        audit.append(Event.APPROVALS_VOIDED, about=request.handle, actor=actor, approvals=count)


def _refuse_somebody_elses(request: PrivacyRequest, kind: str, value: str) -> None:
    if kind not in Identity.UNIQUE_KINDS:
        return  # two people can share a telephone
    if any(owner.pk != request.subject_id for owner in subjects.find_by_identity(kind, value)):
        raise IdentityTaken


def _keep(request: PrivacyRequest, name: str, row: list[str], actor: Actor) -> None:
    vault = open_vault(request)
    details = details_of(request, vault)
    rows: list[list[str]] = details.get(name, [])
    if row[:2] in [one[:2] for one in rows]:
        return
    details[name] = [*rows, row]
    PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, vault))
    request.refresh_from_db()
    audit.append(
        Event.IDENTITY_ADDED if name == NOTED else Event.IDENTITY_NOTED, about=request.handle, actor=actor, identities=1
    )


def _drop(request: PrivacyRequest, kind: str, value: str) -> bool:
    vault = open_vault(request)
    details = details_of(request, vault)
    rows = details.get(UNCONFIRMED, [])
    details[UNCONFIRMED] = [row for row in rows if row[:2] != [kind, value]]
    PrivacyRequest.objects.filter(pk=request.pk).update(sealed=seal_details(request, details, vault))
    request.refresh_from_db()
    return len(details[UNCONFIRMED]) < len(rows)


def _has_copy(request: PrivacyRequest) -> bool:
    """Say whether the request works from its own copy already, which a new identity of the person would not reach."""
    return "identities" in details_of(request)
