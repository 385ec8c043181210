"""Signing up, in and out over HTTP, with the letters that go with it."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import get_hasher
from django.core.cache import cache
from django.test import Client, RequestFactory

from apps.accounts.known import COOKIE, number_of
from apps.accounts.models import User
from apps.accounts.sessions import SessionStore
from apps.mail.models import Letter
from tests.accounts.conftest import PASSWORD, is_signed_in, link_in, sign_in

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
NEW = {"email": "Ada@Example.org", "password1": PASSWORD, "password2": PASSWORD}


def test_a_person_makes_an_account_confirms_the_address_and_signs_in(client: Client, letters: Callable) -> None:
    assert client.post("/accounts/signup/", NEW).headers["Location"] == "/accounts/confirm-email/"
    assert not is_signed_in(client)
    (letter,) = letters()
    path = link_in(letter, "confirm-email")
    assert "ada@example.org" in client.get(path).content.decode()
    assert not EmailAddress.objects.get().verified  # to look at the link confirms nothing: mail programs do that
    client.post(path)
    assert EmailAddress.objects.get().verified
    sign_in(client, User.objects.get())
    assert is_signed_in(client)


def test_an_account_works_only_once_its_address_is_confirmed(client: Client, letters: Callable) -> None:
    client.post("/accounts/signup/", NEW)
    cache.clear()
    assert sign_in(client, User.objects.get()).headers["Location"] == "/accounts/confirm-email/"
    assert not is_signed_in(client)


def test_signing_up_again_looks_the_same_and_the_owner_is_told(client: Client, ada: User, letters: Callable) -> None:
    unknown = client.post("/accounts/signup/", NEW | {"email": "new@example.org"})
    known = Client().post("/accounts/signup/", NEW)
    assert (unknown.status_code, unknown.headers["Location"]) == (known.status_code, known.headers["Location"])
    assert User.objects.filter(email="ada@example.org").count() == 1
    to_new, to_ada = letters()
    assert "confirm-email" in to_new.body
    assert "You have an account already" in to_ada.subject
    assert Letter.objects.filter(owner=ada.pk).count() == 1  # so that it goes when Ada's account goes


@pytest.mark.parametrize("email", ["ada@example.org", "new@example.org"])
def test_signing_up_takes_as_long_for_an_address_that_is_known(email: str, client: Client, ada: User) -> None:
    hasher = type(get_hasher())
    with patch.object(hasher, "encode", autospec=True, side_effect=hasher.encode) as encode:
        client.post("/accounts/signup/", NEW | {"email": email})
    assert encode.call_count == 1


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client: Client, ada: User) -> None:
    wrong = client.post("/accounts/login/", {"login": ada.email, "password": "wrong"})
    unknown = client.post("/accounts/login/", {"login": "nobody@example.org", "password": "wrong"})
    told = "This e-mail address and password do not belong together."
    assert told in wrong.content.decode()
    assert told in unknown.content.decode()
    assert not is_signed_in(client)
    sign_in(client, ada)
    assert is_signed_in(client)


def test_a_new_password_by_letter(client: Client, ada: User, letters: Callable) -> None:
    known = client.post("/accounts/password/reset/", {"email": ada.email})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert known.status_code == unknown.status_code == 302
    assert known.headers["Location"] == unknown.headers["Location"]
    to_ada, to_nobody = letters()
    assert to_nobody.to == ["nobody@example.org"]
    assert "password/reset/key" not in to_nobody.body
    form = client.get(link_in(to_ada, "password/reset/key")).headers["Location"]
    new = {"password1": "another long enough one", "password2": "another long enough one"}
    assert client.post(form, new).status_code == 302
    assert not is_signed_in(client)
    sign_in(client, ada, new["password1"])
    assert is_signed_in(client)
    again = Client()
    assert "no longer works" in again.get(link_in(to_ada, "password/reset/key")).content.decode()


def test_a_new_sign_in_is_told_without_an_ip_address(client: Client, ada: User, letters: Callable) -> None:
    client.defaults["HTTP_USER_AGENT"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    sign_in(client, ada)
    (letter,) = letters()
    assert letter.to == [ada.email]
    assert "Firefox (Linux)" in letter.body
    assert "127.0.0.1" not in letter.body
    assert "http://testserver/accounts/sign-ins/" in letter.body


def test_letters_are_in_the_persons_language(client: Client, ada: User, letters: Callable) -> None:
    User.objects.update(language="zh-hans")
    sign_in(client, ada)
    (letter,) = letters()
    assert 'lang="zh-Hans"' in letter.alternatives[0].content


def test_links_in_letters_lead_to_the_site_whatever_host_was_asked(
    client: Client, ada: User, letters: Callable, settings: object
) -> None:
    client.post("/accounts/password/reset/", {"email": ada.email}, headers={"host": "localhost"})
    assert link_in(letters()[0], "password/reset/key").startswith("/accounts/")


def test_signing_out_needs_a_press_of_the_button(client: Client, ada: User) -> None:
    sign_in(client, ada)
    client.get("/accounts/logout/")
    assert is_signed_in(client)
    client.post("/accounts/logout/")
    assert not is_signed_in(client)


def test_a_closed_account_does_not_open(client: Client, ada: User) -> None:
    User.objects.update(is_active=False)
    sign_in(client, ada)
    assert not is_signed_in(client)


class TestLimits:
    def test_passwords_of_one_account_cannot_be_tried_on_and_on(self, client: Client, ada: User, ben: User) -> None:
        for _ in range(5):
            sign_in(client, ada, "wrong")
        other_place = Client(REMOTE_ADDR="203.0.113.9", HTTP_HOST="localhost")
        assert "Too many tries" in sign_in(other_place, ada).content.decode()
        assert not is_signed_in(other_place)
        sign_in(other_place, ben)  # the limit is the account's, not the address's
        assert is_signed_in(other_place)

    def test_a_stranger_who_knows_an_address_does_not_lock_out_a_browser_that_has_signed_in_before(
        self, client: Client, ada: User
    ) -> None:
        sign_in(client, ada)
        client.post("/accounts/logout/")
        stranger = Client()
        for _ in range(6):
            sign_in(stranger, ada, "wrong")
        assert "Too many tries" in sign_in(stranger, ada).content.decode()
        sign_in(client, ada)
        assert is_signed_in(client)

    def test_passwords_cannot_be_tried_on_and_on_in_a_known_browser_and_it_locks_out_itself_alone(
        self, client: Client, ada: User, ben: User
    ) -> None:
        sign_in(client, ada)
        client.post("/accounts/logout/")
        for _ in range(5):
            sign_in(client, ada, "wrong")
        assert "Too many tries" in sign_in(client, ada).content.decode()
        other = Client()
        sign_in(other, ada)
        assert is_signed_in(other)

    def test_a_browser_is_known_by_the_address_that_has_signed_in_there_and_by_no_made_up_cookie(
        self, client: Client, ada: User, ben: User
    ) -> None:
        assert COOKIE not in sign_in(client, ada, "wrong").cookies
        cookie = sign_in(client, ada).cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/accounts/")
        assert "ada" not in cookie.value
        number, _, signature = cookie.value.partition(".")
        request = RequestFactory().get("/accounts/login/")
        for value, email, known in (
            (cookie.value, "Ada@Example.org", number),
            (cookie.value, ben.email, ""),
            (f"{number}x.{signature}", ada.email, ""),
            (f"{number}.{signature}x", ada.email, ""),
            (number, ada.email, ""),
            ("", ada.email, ""),
            (f"{number}.\udcff\x00é", ada.email, ""),
        ):
            request.COOKIES[COOKIE] = value
            assert number_of(request, email) == known, value

    def test_letters_for_a_new_password_are_limited_by_address(
        self, client: Client, ada: User, letters: Callable
    ) -> None:
        statuses = [client.post("/accounts/password/reset/", {"email": ada.email}).status_code for _ in range(6)]
        assert statuses == [302] * 5 + [429]
        assert client.post("/accounts/password/reset/", {"email": "ben@example.org"}).status_code == 302

    def test_a_link_is_limited_by_the_link(self, client: Client, ada: User) -> None:
        path = "/accounts/password/reset/key/abc-{}/"
        statuses = {client.get(path.format(number)).status_code for number in range(30)}
        assert statuses == {200}
        assert Client(REMOTE_ADDR="203.0.113.9").get(path.format(31)).status_code == 429
        assert client.get("/accounts/password/reset/key/abd-1/").status_code == 200

    @pytest.mark.slow
    def test_many_people_behind_one_address_get_in(self, client: Client) -> None:
        for number in range(40):
            response = client.post("/accounts/login/", {"login": f"p{number}@example.org", "password": "wrong"})
            assert response.status_code == 200
            assert "Too many" not in response.content.decode()


@pytest.mark.parametrize("made_up", ["\0" * 32, "ä" * 32, "a" * 31 + ";", "short"])
def test_a_cookie_that_cannot_be_a_sessions_is_nobodys(client: Client, made_up: str) -> None:
    client.cookies["sessionid"] = made_up
    assert client.get("/accounts/login/").status_code == 200
    assert SessionStore(made_up).session_key is None
    assert SessionStore("a1" * 16).session_key == "a1" * 16


def test_whoever_shares_an_address_with_others_does_not_keep_them_from_their_passkeys(client: Client) -> None:
    for _number in range(25):  # each challenge counts: a colleague behind the same address may ask for many
        assert client.get("/accounts/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"}).status_code == 200  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    ["", "{", "1", "[]", "{}", "[" * 9000, '{"id": "AAAA"}', '{"id": "A", "rawId": "A"}',
     '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"userHandle": 5}}',
     '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": "e30", "authenticatorData":'
     ' "AAAA", "signature": "\\ud800"}}'],
)  # fmt: skip
def test_what_is_no_passkeys_answer_leads_back_to_the_sign_in(client: Client, answer: str) -> None:
    client.get("/accounts/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"})
    response = client.post("/accounts/2fa/webauthn/login/", {"credential": answer}, follow=True)
    assert response.redirect_chain == [("/accounts/login/", 302)]
    assert response.status_code == 200
