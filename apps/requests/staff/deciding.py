"""Views of the decisions: the identity, yes, the second yes, no. Each is confirmed on a page that names counts and places."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.access import fresh_authentication_required
from apps.requests import letters, selectors, services
from apps.requests.erasure import open_copies
from apps.requests.errors import PlanChanged, RequestError
from apps.requests.models import Kind, PrivacyRequest
from apps.requests.regimes import regime_of
from apps.requests.staff import plan, request_page, words
from apps.requests.staff.forms import IdentityForm, RefusalForm
from apps.requests.staff.pages import acting, letter_context, page_of, show
from apps.requests.vault import details_of
from apps.requests.who import mark_of, named_values

SEEN_KEY = "staff_plans"
SEEN_SECONDS = 30 * 60  # a plan that was looked at longer ago is shown again before the yes counts
PAGE = require_http_methods(["GET", "HEAD", "POST"])


@PAGE
@acting("identity")
def identity(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    form = IdentityForm(request.POST or None)
    if form.is_valid():
        try:
            services.confirm_identity(
                found,
                level=form.cleaned_data["level"],
                methods=form.cleaned_data["methods"],
                actor=request.actor,  # type: ignore[attr-defined]
            )
        except RequestError as error:
            messages.error(request, words.what_went_wrong(error))
        else:
            messages.success(
                request,
                _("Noted: the identity is checked (%(level)s).") % {"level": words.level(found.identity_level).lower()},
            )
        return redirect(page_of(found))
    context = request_page.identity_context(found) | {"form": form}
    return show(request, "identity", _title(_("Check the identity"), found), context)


@PAGE
@acting("approve", "second")
@fresh_authentication_required
def approve(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    """Show what every place holds, counted now; a yes counts only from somebody who has seen it."""
    if request.method == "POST" and _seen_of(request, found):
        return _approve(request, found)
    if request.method == "POST":
        messages.warning(request, _("Look at the plan first: it was counted too long ago, or not yet."))
    _note_seen(request, found)  # before it is counted: what changes meanwhile is looked at again
    seen = plan.preview(found, everywhere=True)
    is_last_yes = found.approvals.exists() or not services.needs_second_approver(found)
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "regime": regime_of(found.regime),
        "preview": seen,
        "is_erasure": found.kind == Kind.ERASURE,
        "asked": selectors.asked_of(found),
        "is_last_yes": is_last_yes,
        "is_second": found.approvals.exists(),
        "known_by": named_values(found, details_of(found)),
        "waits_for_copy": found.kind == Kind.ERASURE and not found.waives_archive_first and open_copies(found).exists(),
        "is_restriction": found.kind == Kind.RESTRICTION,
        "act": plan.act_words(found, seen, is_last_yes=is_last_yes),
    }
    return show(request, "approve", _title(_("Approve"), found), context)


def _approve(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    user: Any = request.user
    try:
        is_going = services.approve_request(
            found,
            actor=request.actor,  # type: ignore[attr-defined]
            officer=user,
            seen=_seen_of(request, found),
        )
    except PlanChanged as error:
        _forget_seen(request, found)
        messages.warning(request, words.what_went_wrong(error))
        return redirect(f"{page_of(found)}approve/")
    except RequestError as error:
        messages.error(request, words.what_went_wrong(error))
    else:
        _forget_seen(request, found)
        said = (
            _("Approved. Every place is asked now.")
            if found.kind != Kind.ERASURE
            else _("Approved. The erasure goes its way.")
        )
        messages.success(request, said if is_going else _("Approved by you. Now a second person has to agree."))
    return redirect(page_of(found))


def _note_seen(request: HttpRequest, found: PrivacyRequest) -> None:
    kept = {pk: one for pk, one in _seen(request).items() if one[0] > time.time() - SEEN_SECONDS}
    request.session[SEEN_KEY] = kept | {found.pk.hex: [time.time(), mark_of(found)]}


def _seen_of(request: HttpRequest, found: PrivacyRequest) -> str:
    """Return who the plan was about that this person looked at; "" when they have not, or too long ago."""
    at, mark = _seen(request).get(found.pk.hex, [0, ""])
    return str(mark) if at > time.time() - SEEN_SECONDS else ""


def _forget_seen(request: HttpRequest, found: PrivacyRequest) -> None:
    request.session[SEEN_KEY] = {pk: one for pk, one in _seen(request).items() if pk != found.pk.hex}


def _seen(request: HttpRequest) -> dict[str, list[Any]]:
    return dict(request.session.get(SEEN_KEY, {}))


@PAGE
@acting("refuse")
def refuse(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    """Ground and reason, then the letter as the person will get it, then the refusal."""
    form = RefusalForm(request.POST or None, request=found)
    letter = None
    if form.is_valid():
        values = form.cleaned_data
        if form.was_shown():
            return _refuse(request, found, ground=values["ground"], text=values["text"])
        ground = regime_of(found.regime).ground(values["ground"], found.kind)
        letter = letters.preview_refused(found, ground=ground, text=values["text"]) if ground else None
    context = letter_context(found, form, letter) | {
        "lead": _(
            "The person gets the ground with its article, your reason, the authority and the courts. It cannot be taken back; they may ask again."
        ),
        "act": _("Refuse and send this letter"),
    }
    return show(request, "letter", _title(_("Refuse"), found), context)


def _refuse(request: HttpRequest, found: PrivacyRequest, *, ground: str, text: str) -> HttpResponse:
    try:
        services.refuse_request(found, ground=ground, text=text, actor=request.actor)  # type: ignore[attr-defined]
    except RequestError as error:
        messages.error(request, words.what_went_wrong(error))
    else:
        messages.success(request, _("Refused. The letter is on its way."))
    return redirect(page_of(found))


def _title(act: str, found: PrivacyRequest) -> str:
    return f"{act}: {found.reference}"
