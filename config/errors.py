"""The page of last resort, in both languages, and without a look at the session: that may be what does not open."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults

from apps.keys.errors import MasterKeyUnreachable

SECONDS = 60


def server_error(request: HttpRequest) -> HttpResponse:
    """Say that the page did not work; or, while the place of the master keys does not answer, that it will again."""
    if isinstance(sys.exc_info()[1], MasterKeyUnreachable):
        return HttpResponse(
            render_to_string("503.html"), status=503, headers={"Retry-After": str(SECONDS), "Cache-Control": "no-store"}
        )
    return defaults.server_error(request)
