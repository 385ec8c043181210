"""Making a request, in three steps. What was entered travels with the form, so that nothing is stored in between."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.accounts.access import fresh_authentication_required
from apps.archives import selectors as archives
from apps.portal.access import person, person_page
from apps.portal.forms import DETAILS, DetailsForm, EraseWordForm, KindForm
from apps.portal.places import held_places
from apps.portal.story import cite_of, law_words
from apps.records.models import Subject
from apps.requests import services
from apps.requests.asking import asked_lines
from apps.requests.labels import kind_label
from apps.requests.models import Kind
from apps.requests.regimes import regime_of

ONCE = "filing"  # in the session: which confirming page has not been sent yet
ONCE_SECONDS = 3600  # two tabs at the same moment read the same session: the cache lets one of them through
LANGUAGE = "en"
CONFIRM: dict[str, str] = {
    Kind.ACCESS: "portal/confirm_copy.html",
    Kind.PORTABILITY: "portal/confirm_copy.html",
    Kind.ERASURE: "portal/confirm_erasure.html",
    Kind.RECTIFICATION: "portal/confirm_change.html",
    Kind.RESTRICTION: "portal/confirm_change.html",
}


@require_GET
@person_page
def new_request(request: HttpRequest, subject: Subject) -> HttpResponse:
    return render(
        request, "portal/new_request.html", {"section": "requests", "kind": request.GET.get("kind", "access")}
    )


@fresh_authentication_required
@person_page
def request_details(request: HttpRequest, subject: Subject) -> HttpResponse:
    """Step 2 asks for the details, step 3 shows what will happen and asks to confirm; both are sent here."""
    kind_form = KindForm(request.POST if request.method == "POST" else request.GET)
    if not kind_form.is_valid():
        return render(request, "portal/new_request.html", {"section": "requests", "form": kind_form})
    kind = kind_form.cleaned_data["kind"]
    form = DETAILS[kind](request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "portal/request_details.html", {"section": "requests", "kind": kind, "form": form})
    if "once" not in request.POST:
        return _confirm(request, subject, kind, form)
    word = EraseWordForm(request.POST)
    if kind == "erasure" and not word.is_valid():
        return _confirm(request, subject, kind, form, word)
    return _file(request, subject, kind, form)


def _confirm(
    request: HttpRequest, subject: Subject, kind: str, form: DetailsForm, word: EraseWordForm | None = None
) -> HttpResponse:
    scope = form.scope(_language())
    regime = regime_of(form.regime)
    once = request.session[ONCE] = secrets.token_urlsafe(12)
    latest = archives.archives_of(subject.pk).filter(ready_at__isnull=False).first()
    context: dict[str, Any] = {
        "section": "requests",
        "kind": kind,
        "details": form,
        "form": word or EraseWordForm(),
        "scope": scope,
        "once": once,
        "places": held_places(subject, scope=scope, is_erasure=kind == "erasure"),
        "due_on": regime.due(regime.respond, timezone.localdate()),
        "law": cite_of(regime, regime.respond),
        "article": law_words(regime, regime.right(kind).article),
        "record_law": law_words(regime, regime.record_cite),
        "starts_at": timezone.now() + timedelta(days=settings.ERASURE_COOLING_OFF_DAYS),
        "cooling_off_days": settings.ERASURE_COOLING_OFF_DAYS,
        "archive_days": settings.ARCHIVE_LIFETIME_DAYS,
        "retention_months": settings.REQUEST_RETENTION_MONTHS,
        "last_archive": latest.ready_at if latest else None,
        "regime": regime,
        "asked": asked_lines(kind, form.regime, form.asked()),
        "kind_words": kind_label(kind),
    }
    return render(request, CONFIRM[kind], context)


def _file(request: HttpRequest, subject: Subject, kind: str, form: DetailsForm) -> HttpResponse:
    """File once: a page that is sent twice, or loaded again, files nothing more."""
    once = request.session.pop(ONCE, None)
    if once != request.POST["once"] or not cache.add(f"filed-{once}", True, ONCE_SECONDS):
        messages.info(request, _("This was sent already. Here are your requests."))
        return redirect("portal:requests")
    opened = services.open_request(
        subject,
        kind=kind,
        regime=form.regime,
        scope=form.scope(_language()),
        note=form.cleaned_data["note"],
        asked=form.asked(),
        waives_archive_first=form.cleaned_data.get("waive", False),
        actor=person(request, subject),
        language=_language(),
        time_zone=timezone.get_current_timezone_name(),
    )
    context = {"section": "requests", "reference": opened.request.reference, "code": opened.code}
    return render(request, "portal/filed.html", context | {"due_on": opened.request.due_on})


def _language() -> str:
    return get_language() or LANGUAGE
