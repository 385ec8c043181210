"""Views of many requests: the queue, the search, giving several to an officer, statistics."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.requests import selectors, services
from apps.requests.dates import today
from apps.requests.models import PrivacyRequest
from apps.requests.regimes import REGIMES, regime_of
from apps.requests.staff import looks, queue, words
from apps.requests.staff.forms import AssignForm, FilterForm, FindForm, PeriodForm
from apps.requests.staff.pages import page_of, permitted, show
from apps.requests.statistics import csv_rows, statistics

LIST = "admin:requests_privacyrequest_changelist"


@require_safe
@permitted()
def requests(request: HttpRequest) -> HttpResponse:
    return _list(request, FindForm(auto_id="find_%s"))


def _list(request: HttpRequest, find: FindForm, *, status: int = 200) -> HttpResponse:
    form = FilterForm(request.GET)
    filters, user = form.filters(), _user(request)
    page = queue.page_of(filters, user, request.GET.get("after", ""))
    on, parameters = today(), filters.parameters()
    context = {
        "form": form,
        "find": find,
        "filters": filters,
        "is_narrowed": bool(set(parameters) - {"show", "who"}),
        "rows": [_row(found, page.progress.get(found.pk, queue.Progress()), on) for found in page.requests],
        "shows": [(one, _address(filters.showing(name).parameters())) for name, one in queue.SHOWS.items()],
        "next": _address(parameters | {"after": page.after}) if page.after else "",
        "first": _address(parameters) if request.GET.get("after") else "",
        "assign": AssignForm(auto_id="assign_%s"),
        "here": request.get_full_path(),
    }
    return show(request, "queue", _("Requests"), context, status=status)


def _row(found: PrivacyRequest, progress: queue.Progress, on: date) -> dict[str, Any]:
    return {
        "found": found,
        "url": page_of(found),
        "due": words.due_words(found, on),
        "kind": words.kind(found.kind),
        "law": regime_of(found.regime).name,
        "badge": words.status_badge(found),
        "level": words.level(found.identity_level),
        "progress": progress,
    }


def _address(parameters: dict[str, str]) -> str:
    return f"{reverse(LIST)}?{urlencode(parameters)}" if parameters else reverse(LIST)


def _user(request: HttpRequest) -> Any:
    return request.user


@require_POST
@permitted()
def find(request: HttpRequest) -> HttpResponseBase:
    """Find by exact reference or exact e-mail address. Whom a search finds is a look at them, with its purpose."""
    form = FindForm(request.POST, auto_id="find_%s")
    if not form.is_valid():
        return _list(request, form, status=400)
    written, purpose = form.cleaned_data["words"].strip(), form.cleaned_data["purpose"]
    if "@" not in written:
        found = selectors.by_reference(written)
        if found is not None:
            looks.look_at(request, found, purpose)
            return redirect(page_of(found))
    else:
        indexes = selectors.email_indexes(written)
        rows = list(selectors.with_email_indexes(indexes)[: queue.PAGE])
        if rows:
            looks.look_up(request, rows, purpose)
            return redirect(_address({"who": "-".join(index.hex() for index in indexes)}))
    form.add_error("words", _("No request has this reference or address. Only the whole one is found."))
    return _list(request, form, status=404)


@require_POST
@permitted()
def assign_many(request: HttpRequest) -> HttpResponseBase:
    """Give the ticked requests to an officer: the only thing that is done to several at once."""
    back = request.POST.get("back", "")
    back = back if back.startswith(f"{reverse(LIST)}?") else reverse(LIST)
    form = AssignForm(request.POST, auto_id="assign_%s")
    references = request.POST.getlist("reference")[: queue.PAGE]
    if not references or not form.is_valid():
        messages.warning(request, _("Tick one request or more, and choose an officer."))
        return redirect(back)
    officer = form.cleaned_data["officer"]
    chosen = PrivacyRequest.objects.filter(reference__in=references, status__in=selectors.UNFINISHED)
    for found in chosen:
        services.assign_request(found, officer, actor=request.actor)  # type: ignore[attr-defined]
    given = ngettext("%(number)s request assigned to %(who)s.", "%(number)s requests assigned to %(who)s.", len(chosen))
    who = officer.email if officer else _("nobody")
    messages.success(request, given % {"number": len(chosen), "who": who})
    return redirect(back)


@require_GET
@permitted()
def show_statistics(request: HttpRequest) -> HttpResponse:
    form = _period(request)
    period = (form.cleaned_data["since"], form.cleaned_data["until"]) if form.is_valid() else None
    rows = [_figures(one) for one in statistics(*period)] if period else []
    return show(request, "statistics", _("Statistics"), {"form": form, "rows": rows, "query": _query(form)})


@require_GET
@permitted()
def statistics_csv(request: HttpRequest) -> HttpResponse:
    form = _period(request)
    if not form.is_valid():
        return redirect("admin:requests_privacyrequest_statistics")
    file = io.StringIO()
    csv.writer(file).writerows(csv_rows(form.cleaned_data["since"], form.cleaned_data["until"]))
    name = f"requests-{form.cleaned_data['since']}-{form.cleaned_data['until']}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(file.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def _period(request: HttpRequest) -> PeriodForm:
    """Read the period; without one it is the calendar year so far (11 CCR 7102 counts by calendar years)."""
    on = today()
    given = request.GET if "since" in request.GET else {"since": on.replace(month=1, day=1), "until": on}
    return PeriodForm(given)


def _query(form: PeriodForm) -> str:
    if not form.is_valid():
        return ""
    return urlencode({name: form.cleaned_data[name].isoformat() for name in ("since", "until")})


def _figures(figures: Any) -> dict[str, Any]:
    refused = [
        (_ground_label(figures.regime, figures.kind, ground), number)
        for ground, number in sorted(figures.refused_by_ground.items())
    ]
    law = REGIMES[figures.regime].name if figures.regime in REGIMES else figures.regime
    return {"figures": figures, "law": law, "kind": words.kind(figures.kind), "refused": refused}


def _ground_label(regime: str, kind: str, code: str) -> str:
    ground = REGIMES[regime].ground(code, kind) if regime in REGIMES else None
    return str(ground.label) if ground else code
