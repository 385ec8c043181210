"""Where allauth meets the site: letters go through the sealed outbox, secrets are sealed, the second step is decided."""

from __future__ import annotations

import base64
from typing import Any

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress, Login
from allauth.core import ratelimit
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext_lazy as _
from qrcode.image.svg import SvgPathFillImage

from apps.accounts import known, services
from apps.accounts.browsers import browser_name
from apps.accounts.models import User
from apps.keys import services as keys
from apps.sealing import aead

SECRET_PLACE = aead.associated_data("accounts.second_factor", "secret")
SECOND_FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]


class AccountAdapter(DefaultAccountAdapter):
    """Sign-in by allauth."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": _("This e-mail address and password do not belong together."),
        "too_many_login_attempts": _("Too many tries. Wait 5 minutes, or choose a new password."),
        "incorrect_password": _("This is not your password."),
        "enter_current_password": _("This is not your password until now."),
        "incorrect_code": _("This code is wrong, used or too old."),
        "duplicate_email": _("Your account has this address already."),
        "email_taken": _("This address belongs to an account already."),
        "cannot_remove_primary_email": _("Letters go to this address. Choose another one for letters first."),
        "unverified_primary_email": _("Confirm the address first: we have sent a link to it."),
        "account_inactive": _("This account is closed."),
        "invalid_password_reset": _("This link is used or too old. Ask for a new one."),
        "rate_limited": _("Too many tries. Wait a little."),
    }

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Queue a letter, in the language of the account or, without one, of the page."""
        user = _owner_of(email, context.get("user"))
        language = user.language if user else translation.get_language() or settings.LANGUAGE_CODE
        with translation.override(language):
            values = {"when": _now_in_words()} | context
        services.send_account_letter(template_prefix, to=email, user=user, language=language, values=values)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user.language = translation.get_language() or settings.LANGUAGE_CODE
        return super().save_user(request, user, form, commit=commit)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Count by the account alone: allauth's own key changes with the Host header, which the guesser chooses.

        A browser in which it has signed in before counts for itself, so that strangers do not lock its owner out.
        """
        email = str(credentials.get("email", "")).lower()
        return f"{email} {known.number_of(request, email)}".strip()

    def is_login_by_code_required(self, login: Login) -> bool:
        """A code by e-mail is the second step of those who chose it, and of staff who have no stronger one."""
        user = login.user
        if user is None or is_mfa_enabled(user, SECOND_FACTORS):
            return False
        if any(record["method"] == "code" for record in get_authentication_records(self.request, user)):
            return False
        return user.email_code or services.must_take_two_steps(user)

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Count sign-ins of one account, so that codes by e-mail cannot be guessed by signing in again and again."""
        if not ratelimit.consume(request, action="sign_in", user=user):
            raise ImmediateHttpResponse(ratelimit.respond_429(request))
        return super().pre_login(request, user, **kwargs)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        response = super().post_login(request, user, **kwargs)
        if not kwargs["signup"]:
            browser = browser_name(self.get_http_user_agent(request))
            self.send_notification_mail("sign_in", user, {"browser": browser})
        known.remember(response, user.email)
        return response


class MfaAdapter(DefaultMFAAdapter):
    """Second factors: secrets of authenticator apps and recovery codes are sealed under the site key."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This code is wrong, used or too old."),
        "add_email_blocked": _("Remove the second step first: an address can only be added without one."),
        "cannot_generate_recovery_codes": _("Add an authenticator app or a passkey first."),
        "unverified_email": _("Confirm your e-mail address first: we have sent a link to it."),
    }

    def encrypt(self, text: str) -> str:
        sealed = aead.seal(keys.site_key("second-factors"), text.encode(), context=SECRET_PLACE)
        return base64.b64encode(sealed).decode()

    def decrypt(self, encrypted_text: str) -> str:
        sealed = base64.b64decode(encrypted_text)
        return aead.unseal(keys.site_key("second-factors"), sealed, context=SECRET_PLACE).decode()

    def build_totp_svg(self, url: str) -> str:
        """The QR code on white: allauth's own has no ground, and is not to be seen on a dark page."""
        return qrcode.make(url, image_factory=SvgPathFillImage).to_string(encoding="unicode")

    def _get_site_name(self) -> str:
        return settings.ORGANISATION_NAME


def _owner_of(email: str, user: User | None) -> User | None:
    if user is not None:
        return user
    address = (
        EmailAddress.objects.filter(email=email.lower()).select_related("user").order_by("-verified", "pk").first()
    )
    return address.user if address else None


def _now_in_words() -> str:
    return formats.date_format(timezone.now(), "DATETIME_FORMAT") + " UTC"
