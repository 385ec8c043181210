"""The receipt of an erasure, as a page to keep and as a proof to check; with the receipt code also without an account."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.audit import selectors as audit
from apps.audit.models import Entry
from apps.locations.contract import Kept
from apps.locations.labels import OWN_LABELS
from apps.locations.reasons import Reason
from apps.portal.access import opened_by_code
from apps.portal.story import law_words
from apps.records.subjects import subject_for
from apps.requests import selectors
from apps.requests.counting import done_words
from apps.requests.errors import RecordErased
from apps.requests.keeping import words as kept_words
from apps.requests.models import PrivacyRequest, Receipt
from apps.requests.moments import reason_words
from apps.requests.regimes import regime_of

BADGES = {"erased": "done", "nothing_held": "done", "blocked": "blocked", "needs_person": "person"}


@require_GET
@never_cache
def receipt(request: HttpRequest, reference: str, number: int | None = None) -> HttpResponse:
    pr = _opened(request, reference)
    if pr is None:
        return _elsewhere(request, reference)
    found = _receipt(pr, number)
    try:
        body = selectors.receipt_content(found)
    except RecordErased:
        raise Http404 from None
    return render(request, "portal/receipt.html", {"section": "requests", "pr": pr} | _shown(found, body))


@require_GET
@never_cache
def proof(request: HttpRequest, reference: str, number: int) -> HttpResponse:
    """Hand out the .tlog-proof: everything that is needed to check the receipt, and nothing of the conversations."""
    pr = _opened(request, reference)
    if pr is None:
        return _elsewhere(request, reference)
    found = _receipt(pr, number)
    try:
        text = selectors.receipt_file(found)
    except RecordErased:
        raise Http404 from None
    disposition = f'attachment; filename="{pr.reference}-{number}.tlog-proof"'
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers={"Content-Disposition": disposition})


def _opened(request: HttpRequest, reference: str) -> PrivacyRequest | None:
    if request.user.is_authenticated:
        own = selectors.my_request(subject_for(request.user), reference)
        if own is not None:
            return own
    found = opened_by_code(request, reference)
    return found if isinstance(found, PrivacyRequest) else None


def _elsewhere(request: HttpRequest, reference: str) -> HttpResponse:
    if request.user.is_authenticated:
        raise Http404
    return redirect(f"{reverse('portal:find')}?{urlencode({'reference': reference})}")


def _receipt(pr: PrivacyRequest, number: int | None) -> Receipt:
    for found in selectors.receipts_of(pr):  # the newest first
        if number in (None, found.number):
            return found
    raise Http404


def _shown(found: Receipt, body: dict[str, Any]) -> dict[str, Any]:
    """Put the body's codes and moments into words; the proof holds it as it is."""
    regime = regime_of(body["law"]["regime"])
    entry = Entry.objects.get(pk=found.entry_id)
    ended = selectors.end_of_master_keys(found.request)
    return {
        "receipt": found,
        "body": body,
        "received_at": _moment(body["received_at"]),
        "issued_at": _moment(body["issued_at"]),
        "unreadable_at": _moment(body["unreadable_at"]),
        "irrecoverable_by": _day(body["irrecoverable_by"]),
        "irrecoverable_reason": reason_words(body.get("irrecoverable_code") or "") or body["irrecoverable_reason"],
        "waits": [_wait(row) for row in body.get("irrecoverable_parts", [])],
        "ended_at": ended.created_at if ended else None,
        "ended_index": audit.index_of(ended) if ended else None,
        "places": [_place(row) for row in sorted(body["places"], key=_own_first)],
        "stays": [_stay(row) for row in body["stays"]],
        "told": _(", ").join(body["told"]["places"]),
        "law": law_words(regime, regime.right(body["kind"]).article),
        "told_law": law_words(regime, regime.notify_cite),
        "record_law": law_words(regime, regime.record_cite),
        "authority": regime.authority,
        "origin": audit.origin(),
        "index": audit.index_of(entry),
        "sha256": bytes(found.body_sha256).hex(),
    }


def _own_first(row: dict[str, Any]) -> tuple[int, str]:
    return (list(OWN_LABELS).index(row["kind"]) if row["kind"] in OWN_LABELS else len(OWN_LABELS), row["place"])


def _place(row: dict[str, Any]) -> dict[str, Any]:
    until = _day(row["until"])
    words = {
        "erased": _("Erased"),
        "nothing_held": _("Nothing held"),
        "blocked": _("Not yet"),
        "needs_person": _("A person looks at it"),
    }
    own = OWN_LABELS.get(row["kind"])
    return {
        "name": _(own) if own else row["place"],
        "country": row["country"],
        "erased": done_words(row["counts"], row["kind"], row["erased"]),
        "remaining": row["remaining"],
        "badge": BADGES[row["outcome"]],
        "words": words[row["outcome"]],
        "until": until,
        "reason": Reason(row["reason"]).label if row["reason"] in Reason.values else "",
        "kept": [_kept(one) for one in row.get("kept", [])],  # as are these
        "horizon_days": row["horizon_days"],
        "confirmed_at": _moment(
            row.get("confirmed_by_person_at")
        ),  # absent from receipts before there were such places
    }


def _kept(row: dict[str, Any]) -> str:
    return kept_words(Kept(row["what"], row["count"], row["why"], tuple(row["without"])))


def _wait(row: dict[str, Any]) -> dict[str, Any]:
    """Say what one part of the second moment waits for."""
    names = {
        "keys": _("Master keys, and backups of the key store"),
        "records_backups": _("Backups of the database: sign-in address, and how you were found"),
    }
    return {
        "name": names.get(row["what"]) or row["place"],
        "until": _day(row["until"]),
        "is_unknown": row["until"] is None,
    }


def _stay(row: dict[str, Any]) -> dict[str, Any]:
    return {"what": row["what"], "text": row["text"], "count": row.get("count"), "until": _day(row["until"])}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text[:10]) if text else None
