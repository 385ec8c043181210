"""Without signing in: making a request, confirming it by the link, and opening one by reference and receipt code.

Nothing here tells whether a person or a reference is known: the same work is done and the same page shown.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from apps.accounts.access import is_too_often
from apps.portal.access import open_by_code
from apps.portal.forms import FindForm, IntakeForm
from apps.records.subjects import subject_for
from apps.requests import selectors, services
from apps.requests.errors import LinkUsedOrExpired


@never_cache
def find(request: HttpRequest) -> HttpResponse:
    reference = request.GET.get("reference", "")
    if request.method != "POST":
        if reference and request.user.is_authenticated:
            own = selectors.my_request(subject_for(request.user), reference)
            if own is not None:
                return redirect("portal:request", own.reference)
        return render(
            request, "portal/find.html", {"form": FindForm(initial={"reference": reference}), "reference": reference}
        )
    form = FindForm(request.POST)
    if form.is_valid():
        found = open_by_code(request, form.cleaned_data["reference"], form.cleaned_data["code"])
        if found is not None:
            return redirect("portal:request", found.reference)
        form.add_error("code", _("No request has this reference and this code. Check both for mistyped letters."))
    return render(request, "portal/find.html", {"form": form})


@never_cache
def intake(request: HttpRequest) -> HttpResponse:
    form = IntakeForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, "portal/intake.html", {"form": form})
    data = form.cleaned_data
    if is_too_often(request, "intake", key=data["email"].strip().lower()):
        return render(request, "429.html", status=429)
    opened = services.open_intake(
        kind=data["kind"],
        regime=form.regime,
        email=data["email"],
        name=data["name"],
        data_points=form.data_points(),
        note=data["note"],
        asked=form.asked(),
        language=_language(),
        time_zone=timezone.get_current_timezone_name(),
    )
    return render(request, "portal/filed.html", {"is_intake": True, "reference": opened.reference, "code": opened.code})


@never_cache
def confirm_intake(request: HttpRequest, token: str) -> HttpResponse:
    """Opening the link shows a page; only sending that page uses the link up: mail scanners open links as well."""
    try:
        if request.method == "POST":
            services.confirm_intake(token)
            return render(request, "portal/confirm_intake.html", {"confirmed": True})
        services.intake_by_link(token)
    except LinkUsedOrExpired:
        return render(request, "portal/confirm_intake.html", {"gone": True}, status=410)
    return render(request, "portal/confirm_intake.html")


def _language() -> str:
    return get_language() or "en"
