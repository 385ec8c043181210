"""Roles: given and taken by administrators, never their own, each with an entry."""

from __future__ import annotations

import pytest

from apps.accounts import officers
from apps.accounts.errors import LastAdministrator, OwnRoles, UnknownRole
from apps.accounts.models import User
from apps.accounts.services import officer_handle
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from tests.requests.conftest import as_officer, staff
from tests.staff.conftest import Desk, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
PEOPLE = "/admin/accounts/user/"


def role(desk: Desk, user: User, name: str, act: str):
    return desk.post(f"{PEOPLE}{user.pk}/{name}/{act}/", follow=True)


def test_staff_are_listed_and_data_subjects_are_not(at_roots, cleo, eve, ada, mallory):
    text = at_roots.read(PEOPLE)
    assert "cleo@example.org" in text
    assert "eve@example.org" in text
    assert "ada@example.org" not in text
    assert "mallory@example.org" not in text


def test_a_role_is_given_to_somebody_found_by_the_exact_address_and_taken_again(at_roots, root, mallory):
    assert "Nobody signs in" in text_of(at_roots.post(PEOPLE, {"email": "mallor@example.org"}))
    answer = at_roots.post(PEOPLE, {"email": "Mallory@example.org"})
    assert answer.headers["Location"] == f"{PEOPLE}{mallory.pk}/"
    assert "has the role “Compliance officer” now" in text_of(role(at_roots, mallory, "compliance", "grant"))
    assert Desk(User.objects.get(pk=mallory.pk)).get("/admin/requests/privacyrequest/").status_code == 200
    entry = Entry.objects.get(event="role.granted")
    assert details_of(entry) == {"role": "compliance", "officer": officer_handle(mallory)}
    assert (entry.role, entry.actor) == ("administrator", officer_handle(root))
    role(at_roots, mallory, "compliance", "revoke")
    assert not User.objects.get(pk=mallory.pk).is_staff
    assert Desk(User.objects.get(pk=mallory.pk)).get("/admin/", follow=True).status_code == 403
    assert Entry.objects.filter(event="role.revoked").count() == 1


def test_an_auditor_gets_the_log_and_not_the_admin(at_roots, mallory):
    role(at_roots, mallory, "auditors", "grant")
    desk = Desk(User.objects.get(pk=mallory.pk))
    assert desk.get("/admin/", follow=True).status_code == 403
    assert desk.get("/audit/").status_code == 200


def test_nobody_changes_their_own_roles(at_roots, root):
    assert "Nobody changes their own roles" in text_of(role(at_roots, root, "compliance", "grant"))
    assert set(root.groups.values_list("name", flat=True)) == {"administrators"}
    assert "These are your own roles" in at_roots.read(f"{PEOPLE}{root.pk}/")


def test_it_takes_a_fresh_sign_in(at_roots, mallory):
    at_roots.let_time_pass(601)
    answer = at_roots.post(f"{PEOPLE}{mallory.pk}/compliance/grant/")
    assert answer.headers["Location"].startswith("/accounts/reauthenticate/")
    assert not mallory.groups.exists()


@pytest.mark.parametrize("who", ["cleo", "dan", "mallory", "eve"])
def test_only_administrators_see_people_or_change_roles(who, request, root):
    user = request.getfixturevalue(who)
    desk = Desk(user)
    before = set(user.groups.values_list("name", flat=True))
    assert desk.get(PEOPLE, follow=True).status_code == 403
    assert desk.get(f"{PEOPLE}{root.pk}/", follow=True).status_code == 403
    assert role(desk, user, "administrators", "grant").status_code == 403
    assert set(user.groups.values_list("name", flat=True)) == before


def test_what_is_no_role_and_no_act_is_not_found(at_roots, mallory):
    assert role(at_roots, mallory, "kings", "grant").status_code == 404
    assert role(at_roots, mallory, "compliance", "sell").status_code == 404
    assert at_roots.get(f"{PEOPLE}{mallory.pk}/compliance/grant/").status_code == 404


class TestServices:
    def test_the_last_administrator_stays(self, root, cleo):
        with pytest.raises(LastAdministrator):
            officers.revoke_role(root, "administrators", by=cleo, actor=as_officer(cleo))
        other = staff("ruth@example.org", "administrators")
        officers.revoke_role(root, "administrators", by=other, actor=as_officer(other))
        assert not User.objects.get(pk=root.pk).is_staff

    def test_repeats_change_and_log_nothing(self, root, cleo):
        officers.grant_role(cleo, "compliance", by=root, actor=as_officer(root))
        officers.revoke_role(cleo, "approvers", by=root, actor=as_officer(root))
        assert not Entry.objects.filter(event__startswith="role.").exists()

    def test_unknown_and_own_roles_are_refused(self, root, cleo):
        with pytest.raises(UnknownRole):
            officers.grant_role(cleo, "kings", by=root, actor=as_officer(root))
        with pytest.raises(OwnRoles):
            officers.revoke_role(root, "administrators", by=root, actor=as_officer(root))

    def test_one_of_two_roles_keeps_the_door_open(self, root, cleo):
        officers.grant_role(cleo, "approvers", by=root, actor=as_officer(root))
        officers.revoke_role(cleo, "compliance", by=root, actor=as_officer(root))
        assert User.objects.get(pk=cleo.pk).is_staff
        assert officers.find_person(" CLEO@example.org ") == cleo
