"""Views of what else is done with a request on its way: write, extend, assign, hold, withdraw, try again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import fresh_authentication_required
from apps.records.errors import OwnData, RecordsError
from apps.records.models import Subject
from apps.records.services import lift_hold, place_hold, standing_holds
from apps.requests import letters, services
from apps.requests.errors import RequestError
from apps.requests.models import Kind, PrivacyRequest
from apps.requests.staff import words
from apps.requests.staff.forms import AssignForm, HoldForm, LetterForm
from apps.requests.staff.pages import acting, letter_context, page_of, show

PAGE = require_http_methods(["GET", "HEAD", "POST"])


def _do(request: HttpRequest, found: PrivacyRequest, act: Callable[[], Any], done: str) -> HttpResponse:
    """Call a service, say what came of it, and go back to the request."""
    try:
        act()
    except RequestError as error:
        messages.error(request, words.what_went_wrong(error))
    except OwnData:
        messages.error(request, words.OWN)
    except RecordsError:
        messages.error(request, _("The erasure has begun. From there it only goes forward."))
    else:
        messages.success(request, done)
    return redirect(page_of(found))


def _actor(request: HttpRequest) -> Any:
    return request.actor  # type: ignore[attr-defined]


@PAGE
@acting("message")
def message(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    form = LetterForm(request.POST or None)
    letter = letters.preview_message(found) if form.is_valid() else None
    if form.is_valid() and form.was_shown():
        text = form.cleaned_data["text"]
        return _do(request, found, lambda: services.send_message(found, text, actor=_actor(request)), _("Sent."))
    context = letter_context(found, form, letter) | {
        "lead": _("The message stands on the person's page. The e-mail says only that there is one."),
        "said": form.cleaned_data["text"] if letter else "",
        "act": _("Send this message"),
    }
    return show(request, "letter", _title(_("Write to the person"), found), context)


@PAGE
@acting("extend")
def extend(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    form, until = LetterForm(request.POST or None), services.extended_until(found)
    letter = None
    if form.is_valid():
        text = form.cleaned_data["text"]
        if form.was_shown():
            done = _("Extended to %(day)s. The letter is on its way.") % {"day": words.day(until)}
            return _do(request, found, lambda: services.extend_deadline(found, text=text, actor=_actor(request)), done)
        later = copy.copy(found)
        later.due_on = until
        letter = letters.preview_extended(later, text=text)
    context = letter_context(found, form, letter) | {
        "lead": _(
            "The answer would be due by %(day)s instead of %(before)s. The law allows it once, with a reason, told before the first period ends."
        )
        % {"day": words.day(until), "before": words.day(found.due_on)},
        "act": _("Extend to %(day)s and send this letter") % {"day": words.day(until)},
    }
    return show(request, "letter", _title(_("Extend the deadline"), found), context)


@PAGE
@acting("assign")
def assign(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    form = AssignForm(request.POST or None, initial={"officer": found.assigned_to_id or request.user.pk})
    if request.method == "POST" and form.is_valid():
        officer = form.cleaned_data["officer"]
        done = _("Assigned to %(who)s.") % {"who": officer.email if officer else _("nobody")}
        return _do(request, found, lambda: services.assign_request(found, officer, actor=_actor(request)), done)
    context = {"found": found, "kind": words.kind(found.kind), "form": form, "act": _("Assign"), "lead": ""}
    return show(request, "form", _title(_("Assign"), found), context)


@PAGE
@acting("hold")
def hold(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    """Keep everything of the person until a day: a hold comes before every erasure (GDPR Article 17(3))."""
    form = HoldForm(request.POST or None)
    if form.is_valid():
        subject = get_object_or_404(Subject, pk=found.subject_id)
        done = _("The hold is in place until %(day)s.") % {"day": words.day(form.cleaned_data["until"])}
        return _do(request, found, lambda: place_hold(subject, actor=_actor(request), **form.cleaned_data), done)
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "form": form,
        "act": _("Place this hold on everything of the person"),
        "lead": _(
            "While a hold stands, no erasure of this person begins. It does not stop their own access, and they see it."
        ),
    }
    return show(request, "form", _title(_("Place a legal hold"), found), context)


@require_POST
@acting("lift")
def lift(request: HttpRequest, found: PrivacyRequest, pk: int) -> HttpResponseBase:
    standing = get_object_or_404(standing_holds(found.subject_id), pk=pk) if found.subject_id else None
    if standing is None:
        return redirect(page_of(found))
    done = _("The hold is lifted. What waited for it goes on by itself.")
    return _do(request, found, lambda: lift_hold(standing, actor=_actor(request)), done)


@PAGE
@acting("withdraw")
def withdraw(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    if request.method == "POST":
        done = _("Withdrawn. The person gets a letter that says so.")
        return _do(request, found, lambda: services.withdraw_request(found, actor=_actor(request)), done)
    lead = _(
        "Only when the person has asked for it. Work stops, what was collected is destroyed, and nothing is erased. They get a letter."
    )
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "act": _("Withdraw this request for the person"),
        "lead": lead,
    }
    return show(request, "form", _title(_("Withdraw for the person"), found), context)


@PAGE
@acting("go_on")
@fresh_authentication_required
def go_on(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    if request.method == "POST":
        done = _("The erasure does not wait for the copy any more.")
        return _do(request, found, lambda: services.waive_archive_first(found, actor=_actor(request)), done)
    lead = _(
        "The person asked for a copy as well and has not fetched it. When the erasure goes on, the copy goes with it and nobody can bring it back."
    )
    context = {
        "found": found,
        "is_final": True,
        "kind": words.kind(Kind.ERASURE),
        "act": _("Erase without waiting for the copy"),
        "lead": lead,
    }
    return show(request, "form", _title(_("Go on without the copy"), found), context)


@require_POST
@acting("retry")
def retry(request: HttpRequest, found: PrivacyRequest, pk: UUID) -> HttpResponseBase:
    step = get_object_or_404(found.steps.select_related("request"), pk=pk)
    done = _("It is tried again as soon as a worker is free.")
    return _do(request, found, lambda: services.retry_step(step, actor=_actor(request)), done)


def _title(act: str, found: PrivacyRequest) -> str:
    return f"{act}: {found.reference}"
