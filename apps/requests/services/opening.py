"""Opening a request: its key first, then the row, the clocks, the entry and the letter in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.keys import services as keys
from apps.keys.services import KeyKind
from apps.locations.contract import Scope
from apps.records.models import Subject
from apps.records.subjects import identity_index, identity_ring
from apps.requests import letters
from apps.requests.asking import check_asked
from apps.requests.errors import UnknownKind
from apps.requests.models import Clock, Kind, PrivacyRequest, Status
from apps.requests.references import hash_code, new_code, new_reference
from apps.requests.regimes import OFFICER_OR_POLICY, REASONABLY_HIGH, Regime, is_enough, regime_of
from apps.requests.services.deciding import STANDING_POLICY, approve_request
from apps.requests.vault import Vault, scope_values, seal_details
from apps.requests.who import values_of

PORTABLE = ("json", "csv")  # structured, commonly used, machine-readable (GDPR Article 20(1))


@dataclass(frozen=True)
class OpenedRequest:
    """A new request, and the receipt code, which is shown this once and kept nowhere."""

    request: PrivacyRequest
    code: str


@dataclass(frozen=True)
class Filing:
    """What is filed, by whomever and in whatever way."""

    kind: str
    regime: str
    scope: Scope
    note: str = ""
    waives_archive_first: bool = False
    language: str = "en"
    time_zone: str = "UTC"
    asked: Mapping[str, str] = field(default_factory=dict)  # asking.LABELS


def open_request(
    subject: Subject,
    *,
    kind: str,
    regime: str,
    actor: Actor,
    scope: Scope | None = None,
    note: str = "",
    waives_archive_first: bool = False,
    language: str = "en",
    time_zone: str = "UTC",
    identity_level: str = REASONABLY_HIGH,
    asked: Mapping[str, str] | None = None,
) -> OpenedRequest:
    """File a request of a person we know; returns it with its code. `asked`: what a rectification or restriction is of.

    `identity_level` is what has been found out: signed in and freshly re-authenticated is "reasonably_high" (11 CCR
    7061). Access and portability of such a person are approved at once where the standing policy says so. Raises
    UnknownKind, and what `check_asked` raises.
    """
    wanted = scope_for(kind, scope, language)
    filing = Filing(kind, regime, wanted, note, waives_archive_first, language, time_zone, asked or {})
    code = new_code()
    with request_key(request_id := uuid4()) as vault_key, transaction.atomic():
        request = write_request(
            filing,
            vault_key,
            request_id=request_id,
            subject=subject,
            identity_level=identity_level,
            reference=new_reference(),
            handle=new_handle(),
            code_hash=hash_code(code),
            actor=actor,
        )
        if _is_approved_by_policy(request, actor):
            approve_request(request, rule=STANDING_POLICY, actor=Actor.system())
    request.refresh_from_db()
    return OpenedRequest(request, code)


def _is_approved_by_policy(request: PrivacyRequest, actor: Actor) -> bool:
    is_the_person = actor.role == Role.PERSON and request.identity_level == REASONABLY_HIGH
    by_policy = regime_of(request.regime).right(request.kind).approval == OFFICER_OR_POLICY
    return settings.AUTOMATIC_ACCESS_APPROVAL and is_the_person and by_policy


@contextmanager
def request_key(request_id: UUID) -> Iterator[keys.NewKey]:
    """Make a request's key; whatever goes wrong in the block destroys it again, for nothing was sealed that stays."""
    key = keys.create_key(KeyKind.REQUEST, owner=request_id)
    is_kept = False
    try:
        yield key
        is_kept = True
    finally:
        if not is_kept and not transaction.get_connection().in_atomic_block:
            keys.discard_key(key.id)  # inside an outer transaction the nightly sweep does it


def write_request(
    filing: Filing,
    key: keys.NewKey,
    *,
    request_id: UUID,
    subject: Subject | None,
    identity_level: str,
    reference: str,
    handle: str,
    code_hash: bytes,
    actor: Actor,
    received_at: datetime | None = None,
    more: dict[str, Any] | None = None,
) -> PrivacyRequest:
    """Write row, clocks, entry and letter in the caller's transaction. `more`: what else is sealed with the request."""
    regime = regime_of(filing.regime)
    if filing.kind not in regime.rights:
        raise UnknownKind(filing.kind)
    now = received_at or timezone.now()
    is_known = is_enough(identity_level, regime.right(filing.kind).identity)
    details = {"email": _email_of(subject), "note": filing.note, "scope": scope_values(filing.scope)} | (more or {})
    details |= {"asked": check_asked(filing.kind, regime, filing.asked)}
    clocks = _clocks(regime, now)
    request = PrivacyRequest(
        id=request_id,
        reference=reference,
        handle=handle,
        code_hash=code_hash,
        key_id=key.id,
        subject_id=subject.pk if subject else None,
        **_index_of(details["email"]),
        kind=filing.kind,
        regime=filing.regime,
        status=Status.IN_REVIEW if is_known else Status.VERIFYING,
        identity_level=identity_level,
        language=filing.language,
        time_zone=filing.time_zone,
        received_at=now,
        due_on=min(clock.due_on for clock in clocks if clock.met_at is None),
        cooling_off_until=_cooling_off(filing.kind, timezone.now()),
        waives_archive_first=filing.waives_archive_first,
    )
    vault = Vault(key.id, key.key)
    request.sealed = seal_details(request, details, vault)
    request.save(force_insert=True)
    for clock in clocks:
        clock.request = request
    Clock.objects.bulk_create(clocks)
    _log(request, actor)
    letters.received(request, vault)
    return request


def _index_of(email: str) -> dict[str, Any]:
    """Return what staff find the request by: the blind index of the address, and the number of its key."""
    if not email:
        return {}
    ring = identity_ring("email")
    while not ring.is_held():
        ring = identity_ring("email")
    return {"email_index": identity_index(ring.key, "email", email), "email_index_number": ring.number}


def _log(request: PrivacyRequest, actor: Actor) -> None:
    audit.append(
        Event.REQUEST_OPENED,
        about=request.handle,
        actor=actor,
        kind=request.kind,
        regime=request.regime,
        identity=request.identity_level,
        due=request.due_on,
        by_staff=actor.role != Role.PERSON,
    )
    if request.status == Status.VERIFYING:
        audit.append(Event.REQUEST_VERIFYING, about=request.handle, actor=Actor.system())


def _clocks(regime: Regime, received_at: datetime) -> list[Clock]:
    """Return the deadlines. The acknowledgement is met by the letter that goes out with the request itself."""
    received_on = received_at.astimezone(ZoneInfo(settings.TIME_ZONE)).date()
    clocks = [Clock(regime=regime.code, duty="respond", due_on=regime.due(regime.respond, received_on))]
    if regime.acknowledge is not None:
        due_on = regime.due(regime.acknowledge, received_on)
        clocks.append(Clock(regime=regime.code, duty="acknowledge", due_on=due_on, met_at=received_at))
    return clocks


def _cooling_off(kind: str, now: datetime) -> datetime | None:
    """Until when an erasure can be withdrawn with one click: counted from the filing, as the person was told then."""
    if kind != Kind.ERASURE or not settings.ERASURE_COOLING_OFF_DAYS:
        return None
    return now + timedelta(days=settings.ERASURE_COOLING_OFF_DAYS)


def scope_for(kind: str, scope: Scope | None, language: str) -> Scope:
    """Return what is asked for, or what a request of this kind asks for by itself."""
    if kind == Kind.ERASURE:
        return Scope(language=language)  # an erasure is always of everything
    if scope is not None:
        return scope
    return Scope(formats=PORTABLE, language=language) if kind == Kind.PORTABILITY else Scope(language=language)


def _email_of(subject: Subject | None) -> str:
    values = values_of(subject) if subject else []
    return next((value for kind, value in values if kind == "email"), "")
