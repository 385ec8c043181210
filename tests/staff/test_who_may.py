"""Who may open what. Permission comes first, so that nobody learns from a refusal which references exist."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.requests.models import PrivacyRequest
from tests.requests.conftest import filed
from tests.staff.conftest import LIST, Desk, page

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

PAGES = (
    "", "open/", "identity/", "approve/", "refuse/", "message/", "extend/", "assign/", "hold/", "withdraw/", "go-on/",
    "receipts/1/", "entries/1/proof",
)  # fmt: skip
LISTS = ("", "find/", "assign/", "statistics/", "statistics.csv")
UNKNOWN = "HB-2222-2222"


@pytest.fixture
def request_of_ada(ada) -> PrivacyRequest:
    return filed(ada, "erasure", note="my own words")


def status(desk: Desk, path: str) -> int:
    """Where it ends: the admin sends whoever is not staff to its sign-in first, which refuses them."""
    method = desk.post if path.endswith(("open/", "find/", "assign/")) else desk.get
    return method(path, follow=True).status_code


@pytest.mark.slow
@pytest.mark.parametrize("who", ["mallory", "eve", "root"])
def test_whoever_has_no_part_in_requests_is_refused_alike_for_every_reference(who, request, request_of_ada):
    desk = Desk(request.getfixturevalue(who))
    answers = {
        status(desk, f"{LIST}{reference}/{part}") for reference in (request_of_ada.reference, UNKNOWN) for part in PAGES
    }
    assert answers == {403}
    assert {status(desk, f"{LIST}{part}") for part in LISTS} == {403}


def test_nobody_is_sent_to_the_sign_in_for_every_reference(db, request_of_ada):
    for path in (page(request_of_ada), f"{LIST}{UNKNOWN}/", LIST, "/admin/", "/admin/accounts/user/"):
        answer = Desk().get(path)
        assert answer.status_code == 302
        assert (
            answer.headers["Location"].startswith("/accounts/login/") or "/admin/login/" in answer.headers["Location"]
        )


def test_the_admins_own_sign_in_leads_to_the_sites(db):
    answer = Desk().get("/admin/login/?next=/admin/")
    assert (answer.status_code, answer.headers["Location"].startswith("/accounts/login/")) == (302, True)


@pytest.mark.parametrize("who", ["mallory", "eve"])
def test_whoever_is_not_staff_gets_no_admin_at_all(who, request):
    desk = Desk(request.getfixturevalue(who))
    for path in ("/admin/", "/admin/accounts/user/", "/admin/locations/location/", "/admin/nothing-here/"):
        assert desk.get(path, follow=True).status_code in (403, 404)


def test_an_unknown_reference_is_not_found_and_a_known_one_is(at_cleos, request_of_ada):
    assert {status(at_cleos, f"{LIST}{UNKNOWN}/{part}") for part in PAGES} == {404}
    assert at_cleos.get(page(request_of_ada)).status_code == 200


def test_approvers_look_and_do_not_review(at_dans, request_of_ada):
    text = at_dans.look(request_of_ada)
    assert "A compliance officer looks at it first" in text
    for part in ("approve/", "identity/", "refuse/", "message/", "extend/", "hold/", "withdraw/"):
        answer = at_dans.get(f"{page(request_of_ada)}{part}")
        assert answer.status_code in (302, 403), part
    request_of_ada.refresh_from_db()
    assert request_of_ada.status == "in_review"
    assert not request_of_ada.approvals.exists()


def test_the_admin_offers_no_form_that_writes_rows(at_cleos, request_of_ada, root):
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    superuser = Desk(User.objects.get(pk=root.pk))
    for path in (f"{LIST}add/", f"{LIST}{request_of_ada.pk}/change/", f"{LIST}{request_of_ada.pk}/delete/"):
        assert superuser.get(path).status_code == 404
    for path in ("auth/group/", "account/emailaddress/", "mfa/authenticator/", "usersessions/usersession/"):
        assert superuser.get(f"/admin/{path}").status_code == 404


def test_the_admins_own_password_page_leads_to_the_sites(at_cleos):
    assert at_cleos.get("/admin/password_change/").headers["Location"] == "/accounts/password/change/"
    assert at_cleos.get("/admin/logout/").headers["Location"] == "/accounts/logout/"
