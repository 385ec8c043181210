"""A browser in which somebody has signed in before: wrong passwords are counted there apart.

Else whoever knows an address could lock its owner out, five wrong passwords at a time. The cookie is set by a whole
sign-in. It holds a random number and a signature over that and the address, which cannot be told from it (OWASP, "Slow
Down Online Guessing Attacks with Device Cookies").
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE = "known_browser"
LIFETIME = 365 * 24 * 3600
PATH = "/accounts/"  # nowhere else is it asked for
_SIGNER = "apps.accounts.known"


def remember(response: HttpResponse, email: str) -> None:
    """Have the browser that gets this answer known again by the address."""
    number = secrets.token_urlsafe(16)
    signature = signing.Signer(salt=_SIGNER).signature(_signed(number, email))
    response.set_cookie(
        COOKIE, f"{number}.{signature}", max_age=LIFETIME, path=PATH, httponly=True, samesite="Lax",
        secure=bool(settings.SESSION_COOKIE_SECURE),
    )  # fmt: skip


def number_of(request: HttpRequest, email: str) -> str:
    """Return the number of a browser in which this address has signed in; "" for any other."""
    cookie = request.COOKIES.get(COOKIE, "")
    number, _point, signature = cookie.partition(".")
    if not cookie.isascii() or not signature:
        return ""
    try:
        signing.Signer(salt=_SIGNER).unsign(f"{_signed(number, email)}:{signature}")
    except signing.BadSignature:
        return ""
    return number


def _signed(number: str, email: str) -> str:
    return f"{number} {email.lower()}"
