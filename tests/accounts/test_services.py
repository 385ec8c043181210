"""Who acts, what an account holds, and its end."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client, RequestFactory

from apps.accounts import roles, services
from apps.accounts.access import fresh_authentication_required
from apps.accounts.errors import NotSignedIn
from apps.accounts.models import OfficerHandle, User
from apps.audit.actors import Role
from apps.mail.models import Letter
from tests.accounts.conftest import PASSWORD, make_person, sign_in

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def request_of(user: Any) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


class TestActor:
    def test_a_data_subject_acts_under_the_handle_given(self, ada: User) -> None:
        actor = services.actor_of(request_of(ada), handle="h" * 26)
        assert (actor.handle, actor.role) == ("h" * 26, Role.PERSON)
        assert not OfficerHandle.objects.exists()

    @pytest.mark.parametrize(
        ("role", "expected"),
        [
            ("compliance", Role.OFFICER),
            ("approvers", Role.APPROVER),
            ("auditors", Role.AUDITOR),
            ("administrators", Role.ADMINISTRATOR),
        ],
    )
    def test_staff_act_under_the_handle_of_the_year_and_their_role(self, role: str, expected: Role) -> None:
        user = make_person("x", role)
        actor = services.actor_of(request_of(user))
        assert actor.role == expected
        assert actor.handle == services.officer_handle(user) == OfficerHandle.objects.get().handle

    def test_another_year_another_handle(self, cleo: User) -> None:
        handle = services.officer_handle(cleo)
        OfficerHandle.objects.update(year=2000)
        assert services.officer_handle(cleo) != handle

    def test_nobody_is_no_actor(self) -> None:
        with pytest.raises(NotSignedIn):
            services.actor_of(request_of(AnonymousUser()))


class TestRoles:
    def test_the_groups_are_there_with_their_permissions(self) -> None:
        assert set(Group.objects.values_list("name", flat=True)) == set(roles.PERMISSIONS)
        for name, permissions in roles.PERMISSIONS.items():
            person = make_person(name, name)
            assert all(person.has_perm(permission) for permission in permissions)

    def test_a_repeat_keeps_what_an_operator_added(self) -> None:
        auditors = Group.objects.get(name="auditors")
        extra = Group.objects.get(name="compliance").permissions.get(codename="deliver_archive")
        auditors.permissions.add(extra)
        before = Group.objects.count()
        roles.make_roles()
        assert Group.objects.count() == before
        assert auditors.permissions.filter(pk=extra.pk).exists()

    def test_mallory_with_an_account_has_no_right(self) -> None:
        mallory = make_person("mallory")
        assert mallory.get_all_permissions() == set()


class TestEnd:
    def build(self, user: User, client: Client) -> None:
        sign_in(client, user)
        totp.TOTP.activate(user, totp.generate_totp_secret())
        services.officer_handle(user)
        LogEntry.objects.create(user=user, object_id="1", object_repr="x", action_flag=CHANGE)

    def test_an_account_goes_with_all_that_belongs_to_it_and_no_other(self, ada: User, ben: User) -> None:
        browsers = Client(), Client()
        for user, browser in zip((ada, ben), browsers, strict=True):
            self.build(user, browser)
        assert services.remaining_account_rows(ada.pk) == 6
        counts = services.erase_account(ada.pk)
        assert counts == {"sessions": 1, "sign-ins": 1, "second factors": 1, "addresses": 1, "admin log": 1,
                          "officer handles": 1, "letters": 1, "accounts": 1}  # fmt: skip
        assert services.remaining_account_rows(ada.pk) == 0
        assert services.remaining_account_rows(ben.pk) == 6
        assert not Letter.objects.filter(owner=ada.pk).exists()
        assert Session.objects.count() == 1
        assert browsers[1].get("/accounts/sign-ins/").status_code == 200
        assert set(services.erase_account(ada.pk).values()) == {0}  # a repeat is no error

    def test_no_table_names_the_person_any_more(self, ada: User, client: Client) -> None:
        self.build(ada, client)
        key, email = ada.pk, ada.email
        assert self.tables_with(str(key.hex), str(key), email)  # the search sees
        services.erase_account(key)
        assert self.tables_with(str(key.hex), str(key), email) == []

    @staticmethod
    def tables_with(*needles: str) -> list[str]:
        found = []
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                if any(needle in str(row) for row in cursor.fetchall() for needle in needles):
                    found.append(table)
        return found

    def test_the_inventory_names_what_is_held_and_no_secret(self, ada: User, client: Client) -> None:
        self.build(ada, client)
        held = services.account_inventory(ada.pk)
        assert held["addresses"] == [{"email": ada.email, "verified": True, "primary": True}]
        assert held["sign_ins"][0]["ip"] == "127.0.0.1"
        assert [factor["type"] for factor in held["second_factors"]] == ["totp"]
        assert "secret" not in str(held)
        assert str(client.session.session_key) not in str(held)


class TestSessions:
    def test_what_a_session_holds_is_sealed(self, ada: User, client: Client) -> None:
        sign_in(client, ada)
        row = Session.objects.get()
        assert client.session["account_authentication_methods"][0]["email"] == ada.email
        assert ada.email.encode() not in base64.b64decode(row.session_data)

    def test_one_session_cannot_be_put_in_the_place_of_another(self, ada: User, ben: User) -> None:
        adas, bens = Client(), Client()
        sign_in(adas, ada)
        sign_in(bens, ben)
        stolen = Session.objects.get(session_key=adas.session.session_key).session_data
        Session.objects.filter(session_key=bens.session.session_key).update(session_data=stolen)
        assert dict(bens.session) == {}
        assert adas.session["_auth_user_id"] == str(ada.pk)


class TestFreshness:
    def test_a_page_asks_again_after_the_time_and_comes_back(self, ada: User, client: Client, settings: Any) -> None:
        sign_in(client, ada)
        settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
        assert client.post("/accounts/2fa/code-by-email/", {"on": "1"}).headers["Location"] == "/accounts/2fa/"
        session = client.session
        session["account_authentication_methods"][0]["at"] -= 601
        session.save()
        response = client.post("/accounts/2fa/code-by-email/", {})
        assert response.headers["Location"] == "/accounts/reauthenticate/?next=" + quote(
            "/accounts/2fa/code-by-email/", safe=""
        )
        ada.refresh_from_db()
        assert ada.email_code
        again = client.post(
            response.headers["Location"], {"password": PASSWORD, "next": "/accounts/2fa/code-by-email/"}
        )
        assert again.headers["Location"] == "/accounts/2fa/"
        ada.refresh_from_db()
        assert not ada.email_code  # the suspended request was carried out

    def test_what_was_sent_to_an_address_with_a_query_is_carried_out_too(self, ada: User, client: Client) -> None:
        sign_in(client, ada)
        client.post("/accounts/2fa/code-by-email/", {"on": "1"})
        session = client.session
        session["account_authentication_methods"][0]["at"] -= 601
        session.save()
        asked = client.post("/accounts/2fa/code-by-email/?from=letter", {})
        again = client.post(asked.headers["Location"], {"password": PASSWORD})
        assert again.headers["Location"] == "/accounts/2fa/"
        ada.refresh_from_db()
        assert not ada.email_code

    def test_nobody_is_asked_to_sign_in(self) -> None:
        page = fresh_authentication_required(lambda request: None)  # type: ignore[arg-type, return-value]
        assert page(request_of(AnonymousUser())).headers["Location"].startswith("/accounts/login/")
