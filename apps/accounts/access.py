"""Who may open a page: decorators that stand above views."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import suspend_request
from allauth.core.exceptions import ReauthenticationRequired
from allauth.core.internal import ratelimit
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from apps.accounts import roles
from apps.accounts.models import User

View = Callable[..., HttpResponse]


def is_freshly_authenticated(request: HttpRequest) -> bool:
    """Has this person shown a password or a second factor in this session within ACCOUNT_REAUTHENTICATION_TIMEOUT?"""
    records = get_authentication_records(request, request.user)
    return bool(records) and time.time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT


def fresh_authentication_required(view: View) -> View:
    """Ask for the password or second factor again when the last time is too long ago, then return to the same page."""

    @wraps(view)
    @login_required
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if is_freshly_authenticated(request) else ask_again(request)

    return checked


def ask_again(request: HttpRequest) -> HttpResponse:
    """Keep what was sent, and ask. allauth resumes it only if `next` is its path alone; the query is kept with it."""
    if request.method != "POST":
        raise ReauthenticationRequired  # allauth's middleware asks, and comes back to the page
    ways = get_adapter().get_reauthentication_methods(request.user)
    address = ways[0]["url"] if ways else reverse("account_login")
    suspend_request(request, address)
    return redirect(f"{address}?{urlencode({REDIRECT_FIELD_NAME: request.path})}")


def holds_permission(user_id: UUID, permission: str) -> bool:
    """May whoever said the first of two yeses still say it? Somebody who has left, or lost the role, may not."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    return user is not None and user.has_perm(permission)


def is_administrator_still(user_id: UUID) -> bool:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    return user is not None and (user.is_superuser or user.groups.filter(name=roles.ADMINISTRATORS).exists())


def is_administrator(request: HttpRequest) -> bool:
    user: Any = request.user
    return user.is_superuser or user.groups.filter(name=roles.ADMINISTRATORS).exists()


def took_two_steps(request: HttpRequest) -> bool:
    """Did this sign-in have two steps: a second factor or a code, or a passkey that is both in one?"""
    return any(record["method"] in {"mfa", "code"} for record in get_authentication_records(request, request.user))


def is_too_often(request: HttpRequest, action: str, *, key: str) -> bool:
    """Count one more try with this key, whoever asks, and say whether that is more than ACCOUNT_RATE_LIMITS allows."""
    return not ratelimit.consume(request, app="allauth.account", action=action, key=key, limit_get=True)


def limited(action: str, *, key: str) -> Callable[[View], View]:
    """Answer 429 when a link is tried too often: counts by the part of the address named `key`, whoever asks."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if is_too_often(request, action, key=kwargs[key]):
                return ratelimit.respond_429(request)
            return view(request, *args, **kwargs)

        return checked

    return decorate
