"""Filing without an account. Nothing in page, time or outbox says whether a person is known.

The answer to the form stores one row. Later a worker looks whom the address belongs to and sends the same letter either
way. The link in it works once: opening it shows a page, sending that page makes a request, which staff then check.
Nothing is ever given to anybody on an e-mail alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.keys import services as keys
from apps.locations.contract import Scope
from apps.mail.services import erase_letters
from apps.records.errors import SubjectNotFound
from apps.records.models import Subject
from apps.records.subjects import find_subject
from apps.requests import letters
from apps.requests.asking import check_asked
from apps.requests.errors import LinkUsedOrExpired, UnknownKind
from apps.requests.models import Intake, PrivacyRequest
from apps.requests.references import hash_code, hash_link_token, new_code, new_link_token, new_reference
from apps.requests.regimes import NONE, regime_of
from apps.requests.services.opening import Filing, request_key, scope_for, write_request
from apps.requests.vault import Vault, intake_details, open_vault, scope_of, scope_values, seal_intake

LINK_LIFETIME = timedelta(days=7)
MOST_AT_ONCE = 100


@dataclass(frozen=True)
class OpenedIntake:
    """What the person gets on the page: a reference and the receipt code, shown this once."""

    reference: str
    code: str


def open_intake(
    *,
    kind: str,
    regime: str,
    email: str,
    name: str = "",
    data_points: dict[str, str] | None = None,
    scope: Scope | None = None,
    note: str = "",
    waives_archive_first: bool = False,
    language: str = "en",
    time_zone: str = "UTC",
    asked: Mapping[str, str] | None = None,
) -> OpenedIntake:
    """Store what was filed, and nothing else: the same work whether the person is known or not.

    `data_points`: what the person says of themselves, for staff to compare with what is held (11 CCR 7062).
    """
    if kind not in regime_of(regime).rights:
        raise UnknownKind(kind)
    said = check_asked(kind, regime_of(regime), asked or {})
    code = new_code()
    with request_key(intake_id := uuid4()) as key:
        intake = Intake(
            id=intake_id,
            key_id=key.id,
            handle=new_handle(),
            kind=kind,
            regime=regime,
            language=language,
            time_zone=time_zone,
            reference=new_reference(),
            code_hash=hash_code(code),
        )
        details: dict[str, Any] = {
            "email": email.strip(),
            "name": name.strip(),
            "data_points": data_points or {},
            "note": note,
            "scope": scope_values(scope_for(kind, scope, language)),
            "waives_archive_first": waives_archive_first,
            "asked": said,
        }
        intake.sealed = seal_intake(intake, details, Vault(key.id, key.key))
        intake.save(force_insert=True)
    return OpenedIntake(intake.reference, code)


def send_links() -> int:
    """Match waiting intakes and write their letters; return how many. Runs in the worker."""
    waiting = Intake.objects.filter(link_expires_at__isnull=True).order_by("created_at")
    return sum(_send_link(intake) for intake in list(waiting[:MOST_AT_ONCE]))


def _send_link(intake: Intake) -> int:
    vault = open_vault(intake)
    details = intake_details(intake, vault)
    details["subject"] = _known(details["email"])
    token = new_link_token()
    with transaction.atomic():
        changed = Intake.objects.filter(pk=intake.pk, link_expires_at__isnull=True).update(
            sealed=seal_intake(intake, details, vault),
            link_hash=hash_link_token(token),
            link_expires_at=timezone.now() + LINK_LIFETIME,
        )
        if changed:
            letters.confirm_link(intake, to=details["email"], token=token)
    return changed


def _known(email: str) -> str | None:
    try:
        return str(find_subject(email).pk)
    except SubjectNotFound:
        return None


def intake_by_link(token: str) -> Intake:
    """Return the intake behind a link without using the link up; raises LinkUsedOrExpired."""
    intake = Intake.objects.filter(link_hash=hash_link_token(token), link_expires_at__gt=timezone.now()).first()
    if intake is None:
        raise LinkUsedOrExpired
    return intake


def confirm_intake(token: str, *, data_points: dict[str, str] | None = None) -> PrivacyRequest:
    """Use the link up and make a request of the intake, to be checked by staff. Raises LinkUsedOrExpired.

    Reference, code and key stay; the clock runs from the day of filing.
    """
    intake = intake_by_link(token)
    vault = open_vault(intake)
    details = intake_details(intake, vault)
    with transaction.atomic():
        if not Intake.objects.filter(pk=intake.pk, link_hash=intake.link_hash).delete()[0]:
            raise LinkUsedOrExpired
        return write_request(
            _filing(intake, details),
            keys.NewKey(intake.key_id, keys.open_key(intake.key_id)),
            request_id=intake.pk,
            subject=_subject(details.get("subject")),
            identity_level=NONE,
            reference=intake.reference,
            handle=intake.handle,
            code_hash=bytes(intake.code_hash),
            actor=Actor(intake.handle, Role.PERSON),
            received_at=intake.created_at,
            more={
                "email": details["email"],
                "name": details["name"],
                "data_points": details["data_points"] | (data_points or {}),
                "identity_methods": ["email_link"],
            },
        )


def _filing(intake: Intake, details: dict[str, Any]) -> Filing:
    return Filing(
        kind=intake.kind,
        regime=intake.regime,
        scope=scope_of(details),
        note=details["note"],
        waives_archive_first=details["waives_archive_first"],
        language=intake.language,
        time_zone=intake.time_zone,
        asked=details.get("asked", {}),
    )


def _subject(subject_id: str | None) -> Subject | None:
    return Subject.objects.filter(pk=UUID(subject_id)).first() if subject_id else None


def expire_intakes() -> int:
    """Destroy what was filed and never confirmed; outside transactions. Return how many."""
    over = list(Intake.objects.filter(Q(link_expires_at__lt=timezone.now())).order_by("created_at")[:MOST_AT_ONCE])
    for intake in over:
        keys.erase_keys([intake.key_id], about=intake.handle, actor=Actor.system(), reason="expired")
        erase_letters([intake.pk])
        intake.delete()
    return len(over)
