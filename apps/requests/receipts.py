"""The receipt: what was done, place by place, in a body whose SHA-256 stands in the log.

Each erasure, rectification and restriction ends with one, and the lifting of a restriction with a further one.

It is issued in three commits, so that nobody is told of a receipt that cannot be proven: body and entry; the entry's
signature; the end of the request with the letter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.utils import timezone, translation

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.locations.contract import Kept
from apps.locations.horizons import Horizon, kept_until
from apps.locations.reasons import Reason
from apps.locations.registry import what_lasts
from apps.records import suppression
from apps.requests import claims, closing, keeping, letters
from apps.requests.change_receipts import LIFTED, act_of, change_body, places_of_change
from apps.requests.claims import Claim
from apps.requests.corrections import NOTHING, correction_at
from apps.requests.dates import utc
from apps.requests.models import Kind, PrivacyRequest, Receipt, Step, Task
from apps.requests.moments import irrecoverable, reason_words, waits_as_json
from apps.requests.regimes import regime_of
from apps.requests.schedule import count_done
from apps.requests.vault import Vault, details_of, seal_body
from apps.requests.who import identity_of

FORMAT = "habeas-receipt@v1"
RECORD = (
    "The record of this request: dates and outcome; and, sealed under a key of its own, the address that we write to, "
    "what you were known by, and what we wrote to each other"
)

SUPPRESSION = (
    "A keyed hash of your e-mail addresses and user ids, under a key of its own, so that nobody brings you in again "
    "without you. It does not keep you from signing up"
)


def issue_and_close(claim: Claim) -> None:
    """Issue the receipt for what is done now, wait for its signature, then tell the person. Resumes after a crash."""
    others = closing.other_steps(claim)
    receipt = _begun_receipt(claim) or _issue(claim, others)
    audit.wait_until_signed(Entry.objects.get(pk=receipt.entry_id))
    with closing.publishing(claim, others) as is_final:
        if is_final and any(step.phase == Step.Phase.LIFT for step in others):
            PrivacyRequest.objects.filter(pk=claim.request.pk).update(lifted_at=timezone.now())
        claim.request.refresh_from_db()
        letters.receipt_ready(claim.request, claim.vault, receipt, is_final=is_final)


def _begun_receipt(claim: Claim) -> Receipt | None:
    """Return the receipt that was issued before a crash; no other step has run since (schedule.py)."""
    return claim.request.receipts.filter(number=int(claim.cursor)).first() if claim.cursor else None


def _issue(claim: Claim, others: Sequence[Step]) -> Receipt:
    number = next_number(claim.request)
    claim.request.refresh_from_db()
    is_erasure = claim.request.kind == Kind.ERASURE
    horizon = irrecoverable(claim.request, claim.details, others) if is_erasure else None
    with claims.progress(claim, str(number)):
        claims.lock(claim.request)
        return write_receipt(claim.request, claim.vault, others, number, horizon)


def next_number(request: PrivacyRequest) -> int:
    return (request.receipts.aggregate(highest=Max("number"))["highest"] or 0) + 1


def write_receipt(
    request: PrivacyRequest, vault: Vault, steps: Sequence[Step], number: int, horizon: Horizon | None
) -> Receipt:
    """Write a receipt and its entry in the caller's transaction, under a number that no other one has.

    `horizon`: of an erasure; None: nothing was erased.
    """
    details = details_of(request, vault)
    listed = suppression.listed_until(identity_of(request, details).values) if horizon is not None else None
    body = audit.canonical_json(receipt_body(request, details, vault, steps, number, horizon, listed))
    digest = hashlib.sha256(body).digest()
    places = places_of_change(steps)
    entry = audit.append(
        Event.RECEIPT_ISSUED,
        about=request.handle,
        actor=Actor.system(),
        body_sha256=digest,
        number=number,
        locations=len(places),
        blocked=sum(step.state != Step.State.DONE for step in places),
    )
    return Receipt.objects.create(
        request=request,
        number=number,
        is_final=count_done(steps) == len(steps),
        sealed_body=seal_body(request, number, body, vault),
        body_sha256=digest,
        entry_id=entry.pk,
        irrecoverable_by=horizon.by if horizon else None,
        irrecoverable_code=horizon.reason if horizon else "",
        compared_at=timezone.now(),
    )


def receipt_body(
    request: PrivacyRequest,
    details: Mapping[str, Any],
    vault: Vault,
    steps: Sequence[Step],
    number: int,
    horizon: Horizon | None,
    listed_until: date | None = None,
) -> dict[str, Any]:
    """Return what the receipt says: in English, times in UTC, and without anything that names the person."""
    regime = regime_of(request.regime)
    places = places_of_change(steps)
    with translation.override("en"):
        head = {
            "format": FORMAT,
            "reference": request.reference,
            "about": request.handle,
            "number": number,
            "is_final": all(step.state == Step.State.DONE for step in steps),
            "kind": request.kind,
            "law": {
                "regime": regime.code,
                "name": str(regime.name),
                "article": str(regime.right(request.kind).article),
            },
            "controller": {
                "name": settings.ORGANISATION_NAME,
                "address": settings.ORGANISATION_ADDRESS,
                "contact": settings.PRIVACY_CONTACT,
            },
            "received_at": utc(request.received_at),
            "issued_at": utc(timezone.now()),
            "stays": _stays(request, places, listed_until),
            "told": {
                "law": str(regime.notify_cite_of(request.kind, is_lifted=act_of(request, places) == LIFTED)),
                "places": sorted(step.location.name for step in places if _was_told(step, details) and step.location),
            },
        }
        rest = (
            change_body(request, details, places) if horizon is None else _erasure_body(request, vault, places, horizon)
        )
        return head | rest


def _erasure_body(request: PrivacyRequest, vault: Vault, places: Sequence[Step], horizon: Horizon) -> dict[str, Any]:
    return {
        "unreadable_at": utc(request.unreadable_from),
        "irrecoverable_by": horizon.by.isoformat() if horizon.by else None,
        "irrecoverable_code": horizon.reason or None,
        "irrecoverable_reason": reason_words(horizon.reason) or None,
        "irrecoverable_parts": waits_as_json(horizon.waits),
        "places": [place_result(step, vault) for step in places],
    }


def place_result(step: Step, vault: Vault) -> dict[str, Any]:
    """Return what became of one place."""
    location = step.location
    assert location is not None  # noqa: S101  # only steps of places come here
    confirmed = _confirmed_at(step)
    until = kept_until(location, step.ended_at if step.state == Step.State.DONE else None)
    return {
        "place": location.name,
        "kind": location.kind,
        "country": location.country,
        "outcome": _outcome(step),
        "erased": step.done_count,
        "counts": step.counts,
        "remaining": step.remaining,
        "reason": step.reason or None,
        "reason_text": str(Reason(step.reason).label) if step.reason else None,
        "until": step.until.isoformat() if step.until else None,
        "kept": [_kept(one) for one in keeping.kept_of(step, vault)],
        "looked_again_at": utc(step.ended_at) if step.remaining is not None and confirmed is None else None,
        "confirmed_by_person_at": utc(confirmed),
        "horizon_days": location.horizon_days,
        "horizon_is": str(what_lasts(location.kind)) or None if location.horizon_days else None,
        "horizon_until": until.isoformat() if until else None,
    }


def _kept(one: Kept) -> dict[str, Any]:
    return {"what": one.what, "count": one.count, "without": list(one.without), "why": one.why}


def _confirmed_at(step: Step) -> datetime | None:
    """Return when a person confirmed what was done by hand: it takes the place of the second look."""
    task: Task | None = getattr(step, "task", None)  # there is one only in a place by hand
    return task.confirmed_at if task is not None else None


def _outcome(step: Step) -> str:
    if step.state == Step.State.DONE:
        return "erased" if step.done_count or any(step.counts.values()) else "nothing_held"
    return "blocked" if step.state == Step.State.BLOCKED else "needs_person"


def _was_told(step: Step, details: Mapping[str, Any]) -> bool:
    """Say whether a place outside was asked, or a person there; where nothing was to be corrected nobody was."""
    if step.location is None or step.location.kind in settings.OWN_LOCATIONS or step.state != Step.State.DONE:
        return False
    return step.phase != Step.Phase.CORRECT or correction_at(details, step.location).way != NOTHING


def _stays(request: PrivacyRequest, places: Sequence[Step], listed_until: date | None) -> list[dict[str, Any]]:
    """Return what is not gone: the record of the request itself, and whatever a place keeps."""
    regime = regime_of(request.regime)
    kept = closing.retained_until((request.ended_at or timezone.now()).date())
    stays: list[dict[str, Any]] = [
        {
            "what": "record_of_request",
            "text": RECORD,
            "law": str(regime.record_cite),
            "until": kept.isoformat(),
        }
    ]
    if listed_until is not None:
        stays.append({"what": "suppression", "text": SUPPRESSION, "until": listed_until.isoformat()})
    for step in places:
        if step.state != Step.State.DONE and step.location is not None:
            stays.append(
                {
                    "what": "place",
                    "text": f"{step.location.name}: {Reason(step.reason).label}" if step.reason else step.location.name,
                    "count": step.remaining,
                    "until": step.until.isoformat() if step.until else None,
                }
            )
    return stays
