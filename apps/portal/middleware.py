"""What every answer carries: a content security policy, and times in the reader's zone."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

GetResponse = Callable[[HttpRequest], HttpResponse]

HEADER = "Content-Security-Policy"
ALWAYS = "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
STRICT = f"default-src 'none'; style-src 'self'; img-src 'self'; {ALWAYS}"
# Pages with a script of ours: passkeys at sign-in, and the request page that renews itself.
WITH_SCRIPT = f"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; {ALWAYS}"
# The admin's theme evaluates expressions in attributes and sets styles; nothing comes from elsewhere all the same.
ADMIN = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    f"img-src 'self' data:; font-src 'self' data:; object-src 'none'; {ALWAYS}"
)


def with_own_script(response: HttpResponse) -> HttpResponse:
    """Let the page load the scripts of this site, and ask this site for more."""
    response.headers[HEADER] = WITH_SCRIPT
    return response


def policy_for(path: str) -> str:
    if path.startswith("/admin/"):
        return ADMIN
    if path.startswith("/accounts/"):
        return WITH_SCRIPT
    return STRICT


class ContentSecurityPolicyMiddleware:
    """Adds the policy of the path, unless a view has set a stricter or a wider one of its own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(HEADER, policy_for(request.path_info))
        return response


class TimeZoneMiddleware:
    """Shows times in the zone that the signed-in person has chosen; the site's own for everybody else."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.get_response(request)
        try:
            zone = ZoneInfo(request.user.time_zone)
        except (ZoneInfoNotFoundError, ValueError):  # a zone that this machine's tables no longer know
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)
