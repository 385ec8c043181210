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
from apps.requests import letters, services
from apps.requests.erasure import open_copies
from apps.requests.errors import RequestError
from apps.requests.models import Kind, PrivacyRequest
from apps.requests.regimes import regime_of
from apps.requests.staff import plan, request_page, words
from apps.requests.staff.forms import IdentityForm, RefusalForm
from apps.requests.staff.pages import acting, letter_context, page_of, show

SEEN_KEY = "staff_previews"
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
    if request.method == "POST" and _was_seen(request, found):
        return _approve(request, found)
    if request.method == "POST":
        messages.warning(request, _("Look at the plan first: it was counted too long ago, or not yet."))
    seen = plan.preview(found, everywhere=True)
    _note_seen(request, found)
    is_last_yes = found.approvals.exists() or not services.needs_second_approver(found)
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "regime": regime_of(found.regime),
        "preview": seen,
        "is_erasure": found.kind == Kind.ERASURE,
        "is_last_yes": is_last_yes,
        "is_second": found.approvals.exists(),
        "waits_for_copy": found.kind == Kind.ERASURE and not found.waives_archive_first and open_copies(found),
        "act": plan.act_words(found, seen, is_last_yes=is_last_yes),
    }
    return show(request, "approve", _title(_("Approve"), found), context)


def _approve(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    user: Any = request.user
    try:
        is_going = services.approve_request(found, actor=request.actor, officer=user)  # type: ignore[attr-defined]
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
    since = time.time() - SEEN_SECONDS
    kept = {pk: at for pk, at in request.session.get(SEEN_KEY, {}).items() if at > since}
    request.session[SEEN_KEY] = kept | {found.pk.hex: time.time()}


def _was_seen(request: HttpRequest, found: PrivacyRequest) -> bool:
    return bool(request.session.get(SEEN_KEY, {}).get(found.pk.hex, 0) > time.time() - SEEN_SECONDS)


def _forget_seen(request: HttpRequest, found: PrivacyRequest) -> None:
    request.session[SEEN_KEY] = {pk: at for pk, at in request.session.get(SEEN_KEY, {}).items() if pk != found.pk.hex}


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
