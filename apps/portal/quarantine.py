"""While the site stands in quarantine (apps/audit/quarantine.py) every page says so, and only signing in works."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve

from apps.accounts.access import is_administrator
from apps.audit import quarantine
from apps.audit.quarantine import Reason
from apps.records.copies.restoring import restore_commands

GetResponse = Callable[[HttpRequest], HttpResponse]

OPEN = {  # nothing of what is held stands on these
    "healthz",
    "readyz",
    "metrics",
    "portal:language",
    "portal:accept_gap",
    "account_login",
    "account_logout",
    "account_reauthenticate",
    "account_confirm_login_code",
    "mfa_authenticate",
    "mfa_reauthenticate",
    "mfa_email_code",
    "mfa_login_webauthn",
    "mfa_reauthenticate_webauthn",
}
RETRY_AFTER_SECONDS = "300"


class QuarantineMiddleware:
    """Answers 503 with a plain page on every address but those of signing in and those for supervisors."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _name_of(request.path_info) in OPEN:
            return self.get_response(request)
        why = quarantine.reason()
        return standing_still(request, why) if why else self.get_response(request)


def standing_still(request: HttpRequest, why: str) -> HttpResponse:
    """Say why, what happens next, and to staff what is to be done."""
    state = quarantine.state()
    is_staff = request.user.is_staff or request.user.is_superuser
    shown = {
        "since": state.quarantined_at,
        "reason": Reason(why),
        "why": Reason(why).label,
        "restore_commands": restore_commands() if is_staff else [],
        "asks_for_gap": state.gap_found_at is not None and is_administrator(request),
        "is_accepted_once": state.gap_accepted_by is not None,
        "is_accepted_by_me": state.gap_accepted_by is not None and state.gap_accepted_by == request.user.pk,
    }
    response = render(request, "portal/quarantine.html", shown, status=503)
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    response.headers["Cache-Control"] = "no-store"
    return response


def _name_of(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""
