"""Who a request is about, in every form in which some place may know the person."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from allauth.account.models import EmailAddress
from django.utils.crypto import salted_hmac

from apps.locations.contract import Identity
from apps.locations.models import Location
from apps.records import selectors as records
from apps.records import subjects
from apps.records.models import Subject
from apps.requests.models import PrivacyRequest
from apps.requests.vault import details_of

Values = list[tuple[str, str]]
KNOW_OBJECTS = ("openai",)  # kinds of place that can only be asked for ids which were noted


def subject_of(request: PrivacyRequest) -> Subject | None:
    if request.subject_id is None:
        return None
    return Subject.objects.select_related("account").filter(pk=request.subject_id).first()


def values_of(subject: Subject) -> Values:
    """Return what the records know of a person: (kind, value) pairs, the address of the sign-in first."""
    values = list(subjects.identities_of(subject))
    if subject.account is None:
        return values
    signs_in = ("email", subject.account.email)
    return [signs_in, *(pair for pair in values if pair != signs_in)]


def identity_of(request: PrivacyRequest, details: dict[str, Any]) -> Identity:
    """Return the person as the places are asked for them.

    An erasure's come from the copy under the request key: the originals go with the subject key. Somebody we do not
    know has the address given, and an id that no row of ours has.
    """
    copied = details.get("identities")
    if copied is not None:
        values = _with_noted([(kind, value) for kind, value in copied["values"]], details)
        return Identity(
            subject_id=_uuid(copied["subject"]) or nobody(request),
            account_id=_uuid(copied["account"]),
            request_id=request.pk,
            values=tuple(values),
        )
    return identity_now(request, details)


def named_values(request: PrivacyRequest, details: dict[str, Any]) -> Values:
    """Return what the person is known by, without the ids of single objects: those name no other person."""
    subject = subject_of(request)
    values: Values = values_of(subject) if subject else []
    if details.get("email") and ("email", details["email"]) not in values:
        values.append(("email", details["email"]))
    return _with_noted(values, details)


def mark_of(request: PrivacyRequest) -> str:
    """Return what stands for whom a plan is about, and what is corrected where, and tells nothing of it.

    It changes with what they are known by, and with what was filled in.
    """
    details = details_of(request)
    values = sorted(named_values(request, details)), sorted(details.get("corrections", {}).items())
    return salted_hmac(f"plan of {request.pk}", repr(values), algorithm="sha256").hexdigest()


def identity_now(request: PrivacyRequest, details: dict[str, Any]) -> Identity:
    subject = subject_of(request)
    values: Values = values_of(subject) if subject else []
    if subject and _is_asked_by_id():
        values += sorted(set(records.provider_ids(subject)) - set(values))
    if details.get("email") and ("email", details["email"]) not in values:
        values.append(("email", details["email"]))
    values = _with_noted(values, details)
    return Identity(
        subject_id=subject.pk if subject else nobody(request),
        account_id=subject.account_id if subject else None,
        request_id=request.pk,
        values=tuple(values),
    )


def _with_noted(values: Values, details: dict[str, Any]) -> Values:
    """Add what staff have noted with the request itself (services.note_identity)."""
    noted = [(kind, value) for kind, value in details.get("known_by", [])]
    return [*values, *(pair for pair in noted if pair not in values)]


def _is_asked_by_id() -> bool:
    """Say whether there is a place that knows people by the ids of single objects; else they need not be looked up."""
    return Location.objects.filter(kind__in=KNOW_OBJECTS, emptied_at__isnull=True).exists()


def proven_addresses(request: PrivacyRequest, details: dict[str, Any]) -> set[str]:
    """Return the addresses at which the person was reached: those of the sign-in, and that of a link they followed."""
    subject = subject_of(request)
    account_id = subject.account_id if subject else None
    proven = set(EmailAddress.objects.filter(user_id=account_id, verified=True).values_list("email", flat=True))
    if details.get("email") and "data_points" in details:  # filed without an account: services/intake.py
        proven.add(details["email"])
    return proven


def copy_of(identity: Identity) -> dict[str, Any]:
    """Return the identity as it is kept under the request key."""
    return {
        "subject": str(identity.subject_id),
        "account": str(identity.account_id) if identity.account_id else None,
        "values": [list(pair) for pair in identity.values],
    }


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def nobody(request: PrivacyRequest) -> UUID:
    """Return an id that no row of ours has, always the same for a request."""
    return uuid5(request.pk, "nobody we know")
