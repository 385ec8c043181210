"""A receipt, as a page to keep and as a proof to check; with the receipt code also without an account."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.audit import selectors as audit
from apps.audit.models import Entry
from apps.locations.contract import Kept
from apps.locations.labels import OWN_LABELS, country_words
from apps.locations.reasons import Reason
from apps.locations.registry import what_lasts
from apps.portal.access import opened_by_code
from apps.portal.story import law_words
from apps.records.subjects import subject_for
from apps.requests import selectors
from apps.requests.change_receipts import AS_ASKED, LIFTED, NOT_CONCERNED, RECTIFIED, RESTRICTED
from apps.requests.counting import done_words
from apps.requests.errors import RecordErased
from apps.requests.keeping import words as kept_words
from apps.requests.models import PrivacyRequest, Receipt
from apps.requests.moments import reason_words
from apps.requests.regimes import regime_of

HAND_KIND = "hand"  # the kind of place that names a person of its own
BADGES = {"blocked": "blocked", "needs_person": "person"}  # every other outcome is an end
TITLES = {
    RECTIFIED: (gettext_lazy("Receipt of a correction"), gettext_lazy("Receipt of a correction, not final")),
    RESTRICTED: (gettext_lazy("Receipt of a restriction"), gettext_lazy("Receipt of a restriction, not final")),
    LIFTED: (gettext_lazy("Receipt: restriction lifted"), gettext_lazy("Receipt: restriction lifted, not final")),
}
COUNTED = {
    RECTIFIED: gettext_lazy("Corrected"),
    RESTRICTED: gettext_lazy("Left alone"),
    LIFTED: gettext_lazy("In use again"),
}
OUTCOMES: dict[str, Promise] = {
    "erased": gettext_lazy("Erased"),
    "nothing_held": gettext_lazy("Nothing held"),
    "blocked": gettext_lazy("Not yet"),
    "needs_person": gettext_lazy("A person looks at it"),
    RECTIFIED: gettext_lazy("Corrected"),
    RESTRICTED: gettext_lazy("Restricted"),
    LIFTED: gettext_lazy("Lifted"),
    NOT_CONCERNED: gettext_lazy("Looked at: nothing to correct here"),
    AS_ASKED: gettext_lazy("Nothing had to be changed"),
}


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
    context = {"section": "requests", "pr": pr} | _shown(found, body)
    if "act" in body:
        return render(request, "portal/receipt_change.html", context | _change(body))
    return render(request, "portal/receipt.html", context | _erasure(found, body))


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


def _is_ahead(moment: datetime | None) -> bool:
    """Say whether a moment is still to come: who opens the receipt at once may be half a minute early."""
    return moment is not None and moment > timezone.now()


def _shown(found: Receipt, body: dict[str, Any]) -> dict[str, Any]:
    """Put the body's codes and moments into words; the proof holds it as it is."""
    regime = regime_of(body["law"]["regime"])
    entry = Entry.objects.get(pk=found.entry_id)
    return {
        "receipt": found,
        "body": body,
        "received_at": _moment(body["received_at"]),
        "issued_at": _moment(body["issued_at"]),
        "places": [_place(row, body.get("act", "")) for row in sorted(body["places"], key=_own_first)],
        "stays": [_stay(row) for row in body["stays"]],
        "told": _(", ").join(body["told"]["places"]),
        "law": law_words(regime, regime.right(body["kind"]).article),
        "told_law": law_words(regime, regime.notify_cite_of(body["kind"], is_lifted=body.get("act") == LIFTED)),
        "record_law": law_words(regime, regime.record_cite),
        "authority": regime.authority,
        "origin": audit.origin(),
        "index": audit.index_of(entry),
        "sha256": bytes(found.body_sha256).hex(),
    }


def _erasure(found: Receipt, body: dict[str, Any]) -> dict[str, Any]:
    ended = selectors.end_of_master_keys(found.request)
    return {
        "unreadable_at": _moment(body["unreadable_at"]),
        "is_still_ahead": _is_ahead(_moment(body["unreadable_at"])),
        "irrecoverable_by": _day(body["irrecoverable_by"]),
        "irrecoverable_reason": reason_words(body.get("irrecoverable_code") or "") or body["irrecoverable_reason"],
        "waits": [_wait(row) for row in body.get("irrecoverable_parts", [])],
        "ended_at": ended.created_at if ended else None,
        "ended_index": audit.index_of(ended) if ended else None,
    }


def _change(body: dict[str, Any]) -> dict[str, Any]:
    act = body["act"]
    meaning = ""
    if act == RESTRICTED and body["is_final"]:  # else it is not so in every place yet
        law = {"ground": _(body["ground"])} if body["ground"] else {"ground": body["law"]["article"]}
        meaning = _(
            "Your data is stored and shown to you, and nothing else is done with it (%(ground)s). You are told before that is lifted."
        )
        meaning %= law
    if act == LIFTED and body["is_final"]:
        meaning = _("You were told before. Your data is used again as before.")
    return {"title": TITLES[act][0 if body["is_final"] else 1], "counted": COUNTED[act], "meaning": meaning}


def _own_first(row: dict[str, Any]) -> tuple[int, str]:
    return (list(OWN_LABELS).index(row["kind"]) if row["kind"] in OWN_LABELS else len(OWN_LABELS), row["place"])


def _place(row: dict[str, Any], act: str) -> dict[str, Any]:
    until = _day(row["until"])
    words: Promise | str = OUTCOMES[row["outcome"]]
    if row["outcome"] == AS_ASKED and act != RECTIFIED:
        words = _("Nothing had to be marked")
    own = OWN_LABELS.get(row["kind"])
    return {
        "name": _(own) if own else row["place"],
        "country": country_words(row["kind"], row["country"]),
        "erased": done_words(row.get("counts", {}), row["kind"], row.get("erased", 0)),
        "changed": row.get("changed"),
        "remaining": row.get("remaining"),
        "badge": BADGES.get(row["outcome"], "done"),
        "words": words,
        "until": until,
        "reason": Reason(row["reason"]).label if row["reason"] in Reason.values else "",
        "kept": [_kept(one) for one in row.get("kept", [])],  # as are these
        "horizon_days": row.get("horizon_days"),
        "lasting": what_lasts(row["kind"]),
        "horizon_until": _day(row.get("horizon_until")),  # absent from earlier receipts
        "confirmed_at": _moment(
            row.get("confirmed_by_person_at")
        ),  # absent from receipts before there were such places
        "is_by_team": row["kind"] != HAND_KIND,  # who confirmed it: in a place by hand whom it names
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
