"""Account pages that allauth does not have: ending one sign-in, the code by e-mail."""

from __future__ import annotations

from typing import cast

from allauth.account.adapter import get_adapter
from allauth.mfa.totp.views import activate_totp as activate_totp_page
from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from apps.accounts import services
from apps.accounts.access import fresh_authentication_required
from apps.accounts.forms import EmailCodeForm
from apps.accounts.models import User

PICTURE_INSIDE = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


@require_POST
@login_required
def end_sign_in(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's own sign-ins; another person's looks like one that does not exist."""
    end_sessions(request, [get_object_or_404(UserSession, pk=pk, user=request.user)])
    return redirect("usersessions_list")


@fresh_authentication_required
@require_POST
def email_code(request: HttpRequest) -> HttpResponse:
    """Switch the code by e-mail on or off."""
    form = EmailCodeForm(request.POST)
    if form.is_valid():
        services.set_email_code(cast(User, request.user), form.cleaned_data["on"])
        letter = "email_code_on" if form.cleaned_data["on"] else "email_code_off"
        get_adapter().send_notification_mail(letter, request.user)
    return redirect("mfa_index")


def activate_totp(request: HttpRequest) -> HttpResponse:
    """allauth's page, allowed to show the QR code that it carries inside."""
    response = activate_totp_page(request)
    response.headers["Content-Security-Policy"] = PICTURE_INSIDE
    return response
