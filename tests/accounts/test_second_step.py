"""The second step at sign-in: a code by e-mail, an authenticator app, recovery codes; and that staff must have one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from apps.accounts import services
from apps.accounts.models import User
from tests.accounts.conftest import is_signed_in, sign_in

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
CODE_PAGE = "/accounts/login/code/confirm/"


def code_in(letter: Any) -> str:
    found = re.search(r"^ {4}(\S+)$", letter.body, re.MULTILINE)
    assert found, letter.body
    return found.group(1)


def current_code(secret: str) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


def add_app(user: User) -> str:
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    return secret


class TestCodeByEmail:
    def test_sign_in_waits_for_the_code(self, client: Client, ada: User, letters: Callable) -> None:
        services.set_email_code(ada, True)
        assert sign_in(client, ada).headers["Location"] == CODE_PAGE
        assert not is_signed_in(client)
        (letter,) = letters()
        assert letter.to == [ada.email]
        assert "wrong, used or too old" in client.post(CODE_PAGE, {"code": "BBBB-BBBB"}).content.decode()
        client.post(CODE_PAGE, {"code": code_in(letter).lower().replace("-", "")})
        assert is_signed_in(client)

    def test_three_wrong_codes_end_the_try(self, client: Client, ada: User, letters: Callable) -> None:
        services.set_email_code(ada, True)
        sign_in(client, ada)
        for _ in range(3):
            client.post(CODE_PAGE, {"code": "BBBB-BBBB"})
        client.post(CODE_PAGE, {"code": code_in(letters()[0])})
        assert not is_signed_in(client)

    @pytest.mark.slow
    def test_signing_in_again_and_again_gives_no_more_guesses(self, client: Client, ada: User) -> None:
        services.set_email_code(ada, True)
        statuses = [sign_in(Client(), ada).status_code for _ in range(21)]
        assert statuses == [302] * 20 + [429]

    def test_another_code_replaces_the_first(self, client: Client, ada: User, letters: Callable) -> None:
        services.set_email_code(ada, True)
        sign_in(client, ada)
        client.post(CODE_PAGE, {"action": "resend"})
        first, second = letters()
        client.post(CODE_PAGE, {"code": code_in(first)})
        assert not is_signed_in(client)
        client.post(CODE_PAGE, {"code": code_in(second)})
        assert is_signed_in(client)

    def test_it_is_switched_on_and_off_on_the_page_after_showing_that_it_is_you(
        self, client: Client, ada: User, letters: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sign_in(client, ada)
        client.post("/accounts/2fa/code-by-email/", {"on": "1"})
        ada.refresh_from_db()
        assert ada.email_code
        assert [letter.subject for letter in letters()] == [
            "New sign-in to your account",
            "Sign-in now asks for a code",
        ]
        monkeypatch.setattr("apps.accounts.access.is_freshly_authenticated", lambda request: False)
        response = client.post("/accounts/2fa/code-by-email/", {})
        assert response.headers["Location"].startswith("/accounts/reauthenticate/")
        ada.refresh_from_db()
        assert ada.email_code


class TestAuthenticatorApp:
    def test_sign_in_asks_for_its_code_and_a_code_works_once(self, client: Client, ada: User) -> None:
        secret = add_app(ada)
        sign_in(client, ada)
        assert not is_signed_in(client)
        code = current_code(secret)
        client.post("/accounts/2fa/authenticate/", {"code": code})
        assert is_signed_in(client)
        other = Client()
        sign_in(other, ada)
        other.post("/accounts/2fa/authenticate/", {"code": code})
        assert not is_signed_in(other)

    def test_a_recovery_code_works_once(self, client: Client, ada: User) -> None:
        add_app(ada)
        code = RecoveryCodes.activate(ada).generate_codes()[0]
        for browser, gets_in in ((client, True), (Client(), False)):
            sign_in(browser, ada)
            browser.post("/accounts/2fa/authenticate/", {"code": code})
            assert is_signed_in(browser) is gets_in

    def test_codes_cannot_be_guessed(self, client: Client, ada: User) -> None:
        secret = add_app(ada)
        sign_in(client, ada)
        for _ in range(5):
            client.post("/accounts/2fa/authenticate/", {"code": "000000"})
        client.post("/accounts/2fa/authenticate/", {"code": current_code(secret)})
        assert not is_signed_in(client)

    def test_secrets_are_sealed_in_the_database(self, client: Client, ada: User) -> None:
        secret = add_app(ada)
        RecoveryCodes.activate(ada)
        stored = str(list(Authenticator.objects.values_list("data", flat=True)))
        assert secret not in stored
        assert totp.TOTP(Authenticator.objects.get(type="totp")).validate_code(current_code(secret))

    def test_it_is_added_on_the_page(
        self, client: Client, ada: User, letters: Callable, django_capture_on_commit_callbacks: Any
    ) -> None:
        sign_in(client, ada)
        client.post("/accounts/reauthenticate/", {"password": "correct horse battery staple"})
        page = client.get("/accounts/2fa/totp/activate/")
        assert "data:" in page.headers["Content-Security-Policy"]
        secret = page.context["form"].secret
        assert secret in page.content.decode()
        with django_capture_on_commit_callbacks(execute=True):
            response = client.post("/accounts/2fa/totp/activate/", {"code": current_code(secret)})
        assert response.headers["Location"] == "/accounts/2fa/recovery-codes/"  # made at once, to be written down
        assert Authenticator.objects.filter(user=ada, type="totp").exists()
        assert "an authenticator app was added" in letters()[-1].body

    def test_a_stronger_step_takes_the_place_of_the_code_by_email(self, client: Client, ada: User) -> None:
        add_app(ada)
        services.set_email_code(ada, True)
        assert sign_in(client, ada).headers["Location"] == "/accounts/2fa/authenticate/"


class TestStaff:
    def test_staff_without_a_second_step_get_a_code_by_email(
        self, client: Client, cleo: User, ada: User, letters: Callable, settings: Any
    ) -> None:
        settings.STAFF_SECOND_STEP = True
        sign_in(client, cleo)
        assert not is_signed_in(client)
        client.post(CODE_PAGE, {"code": code_in(letters()[0])})
        assert is_signed_in(client)
        assert client.get("/accounts/sign-ins/").status_code == 200  # and stays in
        other = Client()
        sign_in(other, ada)
        assert is_signed_in(other)  # who is not staff needs none

    @pytest.mark.parametrize("join", ["is_staff", "auditors"])
    def test_a_session_with_a_password_alone_ends_when_the_person_joins_the_staff(
        self, join: str, client: Client, ada: User, settings: Any
    ) -> None:
        settings.STAFF_SECOND_STEP = True
        sign_in(client, ada)
        assert client.get("/accounts/sign-ins/").status_code == 200
        if join == "is_staff":
            User.objects.update(is_staff=True)
        else:
            ada.groups.add(Group.objects.get(name=join))
        response = client.get("/accounts/sign-ins/")
        assert response.headers["Location"] == "/accounts/login/?next=/accounts/sign-ins/"
        assert not is_signed_in(client)
        assert "Staff sign in with a second step" in client.get("/accounts/login/").content.decode()

    def test_the_authenticator_app_of_staff_is_enough(self, client: Client, cleo: User, settings: Any) -> None:
        settings.STAFF_SECOND_STEP = True
        secret = add_app(cleo)
        sign_in(client, cleo)
        cache.clear()
        client.post("/accounts/2fa/authenticate/", {"code": current_code(secret)})
        assert client.get("/accounts/sign-ins/").status_code == 200
