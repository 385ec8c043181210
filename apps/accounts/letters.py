"""The words of the letters about a sign-in: one entry for each letter that allauth or we send.

No letter names a person, an IP address or what is held; an address stands in one only where the letter is about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

Text = str | Promise

CHANGE_IT = _(
    "Not you? Change your password at once and end every other sign-in, on the page named above. Then write to %(contact)s."
)
IGNORE_IT = _("You did not ask for this? Then do nothing. Without this message nobody can go on.")

SEE_SIGN_INS = _("See your sign-ins")


@dataclass(frozen=True)
class Words:
    """A letter's subject, its paragraphs, and a button: the key of the address in the context, or a page's name."""

    subject: Text
    lines: tuple[Text, ...]
    doubt: Text = CHANGE_IT
    label: Text = SEE_SIGN_INS
    url: str = "usersessions_list"


LETTERS: dict[str, Words] = {
    "account/email/email_confirmation_signup": Words(
        _("Confirm your e-mail address"),
        (
            _("Somebody, probably you, made an account with this address. Confirm it to use the account."),
            _("The link works for 3 days."),
        ),
        IGNORE_IT,
        _("Confirm this address"),
        "activate_url",
    ),
    "account/email/email_confirmation": Words(
        _("Confirm your e-mail address"),
        (
            _("Somebody, probably you, added this address to an account. Confirm it to use it."),
            _("The link works for 3 days."),
        ),
        IGNORE_IT,
        _("Confirm this address"),
        "activate_url",
    ),
    "account/email/password_reset_key": Words(
        _("Choose a new password"),
        (_("You asked for a new password. Choose it on this page:"), _("The link works once, for 1 hour.")),
        IGNORE_IT,
        _("Choose a new password"),
        "password_reset_url",
    ),
    "account/email/unknown_account": Words(
        _("There is no account with this address"),
        (
            _(
                "Somebody, probably you, asked to sign in or to choose a new password with this address. We know no account with it."
            ),
        ),
        _("You did not ask for this? Then do nothing."),
        _("Make an account"),
        "signup_url",
    ),
    "account/email/account_already_exists": Words(
        _("You have an account already"),
        (
            _(
                "Somebody, probably you, tried to make an account with this address. There is one already. If you forgot its password, choose a new one:"
            ),
        ),
        _("You did not ask for this? Then do nothing."),
        _("Choose a new password"),
        "password_reset_url",
    ),
    "account/email/login_code": Words(
        _("Your code to sign in"),
        (_("Type this code on the page where you sign in. It works once, for 10 minutes."),),
        _("Not you? Somebody knows your password. Change it at once, on the page named above."),
        _("Change your password"),
        "account_change_password",
    ),
    "account/email/password_changed": Words(
        _("Your password was changed"), (_("The password of your account was changed on %(when)s."),)
    ),
    "account/email/password_set": Words(_("A password was set"), (_("Your account got a password on %(when)s."),)),
    "account/email/password_reset": Words(
        _("Your password was changed"), (_("A new password was chosen by a link from an e-mail, on %(when)s."),)
    ),
    "account/email/email_changed": Words(
        _("Your e-mail address was changed"),
        (
            _(
                "On %(when)s the address of your account was changed from %(from_email)s to %(to_email)s. Letters go to the new address."
            ),
        ),
    ),
    "account/email/email_deleted": Words(
        _("An e-mail address was removed"),
        (_("On %(when)s the address %(deleted_email)s was removed from your account."),),
    ),
    "mfa/email/totp_activated": Words(
        _("Sign-in now asks for a code"),
        (_("On %(when)s an authenticator app was added. Sign-in now asks for its code as a second step."),),
    ),
    "mfa/email/totp_deactivated": Words(
        _("The authenticator app was removed"),
        (_("On %(when)s the authenticator app was removed. Sign-in no longer asks for its code."),),
    ),
    "mfa/email/recovery_codes_generated": Words(
        _("New recovery codes"), (_("On %(when)s new recovery codes were made. The old ones no longer work."),)
    ),
    "mfa/email/webauthn_added": Words(
        _("A passkey was added"), (_("On %(when)s a passkey was added to your account."),)
    ),
    "mfa/email/webauthn_removed": Words(
        _("A passkey was removed"), (_("On %(when)s a passkey was removed from your account."),)
    ),
    "sign_in": Words(
        _("New sign-in to your account"), (_("Somebody, probably you, signed in on %(when)s with %(browser)s."),)
    ),
    "email_code_on": Words(
        _("Sign-in now asks for a code"),
        (_("Since %(when)s we send a code to this address at each sign-in, as a second step."),),
    ),
    "email_code_off": Words(
        _("Sign-in no longer sends a code"), (_("On %(when)s the code by e-mail was switched off."),)
    ),
}


def words_of(letter: str, values: dict[str, Any]) -> dict[str, Any]:
    """Fill in a letter's words, in the language that is active now."""
    words = LETTERS[letter]
    values = {"contact": settings.PRIVACY_CONTACT, **values}
    return {
        "subject": gettext(str(words.subject)) % values,
        "lines": [str(line) % values for line in words.lines],
        "doubt": str(words.doubt) % values,
        "label": str(words.label),
        "url": address_of(values.get(words.url) or reverse(words.url)),
        "code": values.get("code", ""),
    }


def address_of(url: str) -> str:
    """The same page on the site's own address, whatever Host header the request came with."""
    parts = urlsplit(url)
    return f"{settings.SITE_URL}{parts.path}" + (f"?{parts.query}" if parts.query else "")
