"""Every account page: it renders in both languages, signed in or not, and shows nothing of another person."""

from __future__ import annotations

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.test import Client

from apps.accounts.models import User
from tests.accounts.conftest import PASSWORD, is_signed_in, sign_in

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

FOR_EVERYBODY = ["login/", "signup/", "password/reset/", "password/reset/done/", "password/reset/key/done/", "inactive/",
                 "confirm-email/", "confirm-email/wrong/", "password/reset/key/abc-def/"]  # fmt: skip
FOR_THE_PERSON = ["sign-ins/", "2fa/", "email/", "password/change/", "logout/", "reauthenticate/", "2fa/webauthn/", "2fa/webauthn/add/",
                  "2fa/totp/activate/"]  # fmt: skip
WITH_AN_APP = [
    "2fa/",
    "2fa/totp/deactivate/",
    "2fa/recovery-codes/",
    "2fa/recovery-codes/generate/",
    "2fa/reauthenticate/",
]


def see(client: Client, path: str, language: str) -> str:
    response = client.get(f"/accounts/{path}", headers={"accept-language": language})
    assert response.status_code == 200, (path, response.headers.get("Location"))
    page = response.content.decode()
    assert f'lang="{"zh-Hans" if language == "zh-hans" else "en"}"' in page
    assert "style=" not in page
    assert page.count("<h1>") == 1
    return page


@pytest.mark.parametrize("language", ["en", "zh-hans"])
class TestEveryPage:
    @pytest.mark.parametrize("path", FOR_EVERYBODY)
    def test_signed_out(self, path: str, language: str, client: Client) -> None:
        see(client, path, language)

    def test_signed_in(self, language: str, client: Client, ada: User) -> None:
        sign_in(client, ada)
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        for path in FOR_THE_PERSON:
            see(client, path, language)

    def test_with_an_app(self, language: str, client: Client, ada: User) -> None:
        sign_in(client, ada)
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        totp.TOTP.activate(ada, totp.generate_totp_secret())
        RecoveryCodes.activate(ada)
        for path in WITH_AN_APP:
            see(client, path, language)


@pytest.mark.parametrize("path", [*FOR_THE_PERSON, *WITH_AN_APP])
def test_nobody_sees_the_pages_of_a_person(path: str, client: Client) -> None:
    response = client.get(f"/accounts/{path}")
    assert response.status_code == 302
    assert response.headers["Location"].startswith(("/accounts/login/", "/"))
    assert is_signed_in(client) is False


class TestSignIns:
    def test_a_person_sees_and_ends_one_of_several(self, client: Client, ada: User, ben: User) -> None:
        phone = Client(HTTP_USER_AGENT="Mozilla/5.0 (iPhone) Safari/604.1")
        for browser, user in ((client, ada), (phone, ada), (Client(), ben)):
            sign_in(browser, user)
        page = client.get("/accounts/sign-ins/").content.decode()
        assert "Safari (iOS)" in page
        assert page.count("End this sign-in") == 2
        client.post(f"/accounts/sign-ins/{UserSession.objects.get(session_key=phone.session.session_key).pk}/end/")
        assert not is_signed_in(phone)
        assert is_signed_in(client)

    def test_another_persons_sign_in_is_not_found(self, client: Client, ada: User, ben: User) -> None:
        bens = Client()
        sign_in(client, ada)
        sign_in(bens, ben)
        pk = UserSession.objects.get(user=ben).pk
        assert client.post(f"/accounts/sign-ins/{pk}/end/").status_code == 404
        assert client.post(f"/accounts/sign-ins/{pk + 100}/end/").status_code == 404
        assert is_signed_in(bens)
        assert bens.post(f"/accounts/sign-ins/{pk}/end/").status_code == 302  # positive control
        assert not is_signed_in(bens)

    def test_all_others_end_at_once(self, client: Client, ada: User) -> None:
        other = Client()
        sign_in(other, ada)
        sign_in(client, ada)
        client.post("/accounts/sign-ins/")
        assert not is_signed_in(other)
        assert is_signed_in(client)

    def test_a_new_password_ends_all_others(self, client: Client, ada: User) -> None:
        other = Client()
        sign_in(other, ada)
        sign_in(client, ada)
        new = "another long enough one"
        client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
        assert client.get("/accounts/2fa/").status_code == 200
        assert other.get("/accounts/2fa/").status_code == 302
