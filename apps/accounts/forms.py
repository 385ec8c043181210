"""allauth's forms in the words of this site: a label above each field, nothing inside it, errors that say what to do."""

from __future__ import annotations

import struct
from typing import Any, ClassVar

from allauth.account import forms as account
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from fido2.webauthn import AuthenticationResponse, RegistrationResponse

EMAIL, PASSWORD, CODE = _("E-mail address"), _("Password"), _("Code")
NEW_PASSWORD, AGAIN = _("New password"), _("The new password again")
TYPE_EMAIL, TYPE_PASSWORD, TYPE_CODE = _("Type your e-mail address."), _("Type your password."), _("Type the code.")
TYPE_NEW_PASSWORD, TYPE_AGAIN = _("Type a new password."), _("Type the new password again.")
PASSWORD_HINT = _("At least 10 characters, not only numbers, and none that many people use.")


class InOurWords:
    """Gives a form of allauth the labels, hints and errors named in `words`: field → (label, hint, error when empty)."""

    words: ClassVar[dict[str, tuple]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():  # type: ignore[attr-defined]
            field.widget.attrs.pop("placeholder", None)
            if name in self.words:
                field.label, field.help_text, field.error_messages["required"] = self.words[name]


class LoginForm(InOurWords, account.LoginForm):
    words = {"login": (EMAIL, "", TYPE_EMAIL), "password": (PASSWORD, "", TYPE_PASSWORD)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs |= {"autocomplete": "username webauthn", "spellcheck": "false"}


class SignupForm(InOurWords, account.SignupForm):
    words = {
        "email": (EMAIL, _("We send a link to it. The account works once you have opened the link."), TYPE_EMAIL),
        "password1": (PASSWORD, PASSWORD_HINT, TYPE_NEW_PASSWORD),
        "password2": (_("The password again"), "", TYPE_AGAIN),
    }

    def try_save(self, request: HttpRequest) -> Any:
        """Work as long for an address that has an account: hashing a password is most of what a new one costs."""
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])
        return super().try_save(request)


class AddEmailForm(InOurWords, account.AddEmailForm):
    words = {"email": (_("Another e-mail address"), "", TYPE_EMAIL)}


class ResetPasswordForm(InOurWords, account.ResetPasswordForm):
    words = {"email": (EMAIL, "", TYPE_EMAIL)}


class ResetPasswordKeyForm(InOurWords, account.ResetPasswordKeyForm):
    words = {"password1": (NEW_PASSWORD, PASSWORD_HINT, TYPE_NEW_PASSWORD), "password2": (AGAIN, "", TYPE_AGAIN)}


class ChangePasswordForm(InOurWords, account.ChangePasswordForm):
    words = {"oldpassword": (_("Your password until now"), "", TYPE_PASSWORD), **ResetPasswordKeyForm.words}


class ReauthenticateForm(InOurWords, account.ReauthenticateForm):
    words = {"password": (PASSWORD, "", TYPE_PASSWORD)}


class ConfirmLoginCodeForm(InOurWords, account.ConfirmLoginCodeForm):
    words = {"code": (CODE, _("Capital or small letters, with or without the dash."), TYPE_CODE)}


class AuthenticateForm(InOurWords, mfa.AuthenticateForm):
    words = {"code": (CODE, _("From your authenticator app, or one of your recovery codes."), TYPE_CODE)}


class ReauthenticateWithCodeForm(InOurWords, mfa.ReauthenticateForm):
    words = AuthenticateForm.words


class ActivateTOTPForm(InOurWords, totp.ActivateTOTPForm):
    words = {"code": (_("The code that the app shows now"), "", TYPE_CODE)}


class PasskeyAnswer(forms.JSONField):
    """What a browser answers for a passkey. One that is no such answer ends the library that reads it in many ways."""

    def __init__(self, kind: type[AuthenticationResponse | RegistrationResponse]) -> None:
        super().__init__(widget=forms.HiddenInput)
        self.kind = kind

    def to_python(self, value: Any) -> Any:
        try:
            answer = super().to_python(value)
            self.kind.from_dict(answer)
        except (TypeError, ValueError, LookupError, RecursionError, struct.error):
            raise ValidationError(_("The passkey's answer cannot be read. Try again.")) from None
        return answer


class AuthenticateWebAuthnForm(webauthn.AuthenticateWebAuthnForm):
    credential = PasskeyAnswer(AuthenticationResponse)


class LoginWebAuthnForm(webauthn.LoginWebAuthnForm):
    credential = PasskeyAnswer(AuthenticationResponse)


class ReauthenticateWebAuthnForm(webauthn.ReauthenticateWebAuthnForm):
    credential = PasskeyAnswer(AuthenticationResponse)


class AddWebAuthnForm(InOurWords, webauthn.AddWebAuthnForm):
    credential = PasskeyAnswer(RegistrationResponse)
    words = {
        "name": (_("A name for it, so that you can tell your passkeys apart"), "", _("Type a name.")),
        "passwordless": (
            _("Sign in with this passkey alone, without a password"),
            _("It then asks for a fingerprint, a face or a PIN."),
            "",
        ),
    }


class EditWebAuthnForm(InOurWords, webauthn.EditWebAuthnForm):
    words = {"name": (_("Name"), "", _("Type a name."))}


class EmailCodeForm(forms.Form):
    """Says whether a code by e-mail is the second step."""

    on = forms.BooleanField(required=False)
