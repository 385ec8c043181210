"""Who acts in a request, and that staff get in with two steps only."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from apps.accounts import services
from apps.accounts.access import took_two_steps

GetResponse = Callable[[HttpRequest], HttpResponse]


class SecondStepForStaffMiddleware:
    """Ends a session of staff that began with a password alone, for example before the person joined the staff.

    The next sign-in asks for the second step: an authenticator app or passkey, else a code by e-mail.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if user.is_authenticated and not took_two_steps(request) and services.must_take_two_steps(user):
            logout(request)
            messages.info(request, _("Staff sign in with a second step. Sign in again."))
            return redirect_to_login(request.get_full_path())
        return self.get_response(request)


class PrivatePagesMiddleware:
    """Keeps the pages of whoever is signed in out of every cache, also those of packages that say nothing about it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "Cache-Control" not in response and request.user.is_authenticated:
            add_never_cache_headers(response)
        return response


class ActorMiddleware:
    """Sets `request.actor` for packages below this one, which may not ask who is signed in; found out on first use."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: services.actor_of(request))  # type: ignore[attr-defined]
        return self.get_response(request)
