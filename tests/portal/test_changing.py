"""Rectification and restriction on the person's pages: the forms, what stands on the request, receipts, and without an account."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records.models import Import, Subject
from apps.requests import selectors, services
from apps.requests.dates import today
from apps.requests.models import Intake, PrivacyRequest, Status, Task
from apps.requests.services.intake import send_links
from apps.requests.services.lifting import lift_due_restrictions
from tests.portal.conftest import Person
from tests.portal.test_requests import DETAILS, INTAKE, confirm, text
from tests.requests.conftest import add_place, as_officer, run, staff

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
committed = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

EVIL = "It says <script>alert(1)</script> & Adda"
WISH = {
    "kind": "rectification",
    "residence": "DE",
    "where": "elsewhere",
    "which": "The card",
    "wrong": EVIL,
    "right": "Ada",
}
RESTING = {"kind": "restriction", "residence": "DE", "ground": "objection", "what": EVIL}
ASKED = {"wrong": EVIL, "right": "Ada"}


def said(request: PrivacyRequest) -> list[str]:
    return [line.text for line in selectors.asked_of(request)]


@pytest.mark.slow
def test_what_is_to_be_corrected_is_filed_as_it_was_typed_and_shown_without_its_markup(ada: Person) -> None:
    page = text(ada.client.get(f"{DETAILS}?kind=rectification"))
    assert 'href="/conversations/"' in page.split("<main")[1]  # what they wrote they correct there themselves
    answer = confirm(ada, WISH)
    assert answer.status_code == 200
    request = PrivacyRequest.objects.get()
    assert (request.kind, request.regime, request.status) == ("rectification", "gdpr", Status.IN_REVIEW)
    assert said(request) == ["Somewhere else", "The card", EVIL, "Ada"]
    shown = text(ada.client.get(f"/requests/{request.reference}/"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Adda" in shown
    assert "<script>alert(1)" not in shown


def test_a_restriction_names_its_ground_and_says_what_it_does(ada: Person) -> None:
    page = text(ada.client.post(DETAILS, RESTING))
    assert (
        "An erasure request, also one of yours, waits until the restriction is lifted, and no part of a conversation can be corrected or removed. A whole conversation that you delete yourself goes at once."
        in page
    )
    assert "Article 18(1)(d)" in page
    confirm(ada, RESTING)
    assert said(PrivacyRequest.objects.get())[0].startswith("I have objected to its use")


@pytest.mark.parametrize(
    ("details", "error"),
    [
        (WISH | {"where": ""}, "Choose where it is."),
        (WISH | {"where": "nowhere"}, "Choose where it is."),
        (WISH | {"wrong": "  "}, "Write what is wrong."),
        (WISH | {"right": ""}, "Write what it should say."),
        (WISH | {"wrong": "x" * 2001}, "2000"),
        (RESTING | {"ground": ""}, "Choose why."),
        (RESTING | {"ground": "accurate"}, "Choose why."),
        (RESTING | {"what": ""}, "Write what should be left alone."),
        (RESTING | {"residence": "US-CA"}, "does not know this right"),
    ],
)
def test_what_is_missing_is_asked_for_and_nothing_is_filed(ada: Person, details: dict[str, str], error: str) -> None:
    page = text(ada.client.post(DETAILS, details | {"once": "made up"}))
    assert "<title>Error: " in page
    assert error in page
    assert not PrivacyRequest.objects.exists()


def test_in_california_something_can_be_corrected(ada: Person) -> None:
    confirm(ada, WISH | {"residence": "US-CA"})
    assert PrivacyRequest.objects.get().regime == "ccpa"


def test_mallory_sees_nothing_of_it(ada: Person, mallory: Person) -> None:
    opened = ada.file("rectification", asked=ASKED)
    for path in ("", "withdraw/", "receipt/"):
        assert mallory.client.get(f"/requests/{opened.request.reference}/{path}").status_code == 404
    assert ada.client.get(f"/requests/{opened.request.reference}/").status_code == 200


def test_it_is_withdrawn_on_its_page(ada: Person) -> None:
    opened = ada.file("restriction", asked={"ground": "claim", "what": "All"})
    assert "Withdraw this request" in text(ada.client.get(f"/requests/{opened.request.reference}/"))
    assert "nothing is changed" in text(ada.client.get(f"/requests/{opened.request.reference}/withdraw/"))
    ada.client.post(f"/requests/{opened.request.reference}/withdraw/")
    assert "Nothing was changed." in text(ada.client.get(f"/requests/{opened.request.reference}/"))


class TestWithoutAnAccount:
    WISH = INTAKE | {
        "kind": "rectification",
        "where": "elsewhere",
        "wrong": EVIL,
        "right": "Ada",
        "email": "stranger@example.net",
    }

    def test_it_becomes_a_request_with_the_same_words(self, ada: Person, nobody: Client, monkeypatch: Any) -> None:
        token = "a" * 43
        monkeypatch.setattr("apps.requests.services.intake.new_link_token", lambda: token)
        nobody.post("/requests/without-account/", self.WISH)
        assert EVIL.encode() not in bytes(Intake.objects.get().sealed)
        send_links()
        nobody.post(f"/requests/confirm/{token}/")
        request = PrivacyRequest.objects.get()
        assert (request.kind, request.status) == ("rectification", Status.VERIFYING)
        assert said(request) == ["Somewhere else", EVIL, "Ada"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"wrong": ""},
            {"where": ""},
            {"kind": "restriction"},
            {"kind": "restriction", "ground": "claim", "what": "All", "residence": "US-CA"},
        ],
    )
    def test_what_is_missing_is_asked_for(self, nobody: Client, places: None, wrong: dict[str, str]) -> None:
        page = text(nobody.post("/requests/without-account/", self.WISH | wrong))
        assert "<title>Error: " in page
        assert "Adda" in page or wrong.get("wrong") == ""
        assert not Intake.objects.exists()

    @pytest.mark.slow
    def test_words_of_another_kind_are_not_kept(self, nobody: Client, places: None) -> None:
        assert nobody.post("/requests/without-account/", self.WISH | {"kind": "access"}).status_code == 200
        assert Intake.objects.get().kind == "access"


@pytest.mark.slow
@committed
def test_the_receipt_is_a_page_and_the_restriction_stands_on_data_and_privacy(ada: Person, nobody: Client) -> None:
    opened = ada.file("restriction", asked={"ground": "accuracy", "what": EVIL})
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    assert request.status == Status.COMPLETED
    page = text(ada.client.get(f"/requests/{request.reference}/receipt/"))
    for words in ("Receipt of a restriction", "Article 18(1)(a)", "Conversations", "Nothing had to be marked"):
        assert words in page, words
    assert "Adda" not in page
    assert "The use of your data is restricted" in text(ada.client.get(f"/requests/{request.reference}/"))
    assert "Since" in text(ada.client.get("/privacy/")).split("The use of your data is restricted")[1][:200]
    assert Letter.objects.filter(owner=request.pk).count() == 3
    answer = nobody.post("/requests/find/", {"reference": request.reference, "code": opened.code}, follow=True)
    assert "The use of your data is restricted" in text(answer)
    assert "Adda" not in text(answer)  # status and receipt, and not what was written
    assert nobody.get(f"/requests/{request.reference}/receipt/").status_code == 200


def test_a_person_whose_data_is_restricted_reads_it_all_and_nothing_new_is_stored(ada: Person, held: Any) -> None:
    Subject.objects.filter(pk=ada.subject.pk).update(restricted_at=timezone.now())
    assert ada.client.get(f"/conversations/{held.conversation.id}/").status_code == 200
    assert "Nothing new is stored until that is lifted" in text(ada.client.get("/conversations/import/"))
    ada.client.post("/conversations/import/", {"text": "You: hello again\n\nAssistant: good day"})
    assert Import.objects.filter(subject=ada.subject).count() == 1  # the one from before
    assert ada.file("access").request.status in (Status.APPROVED, Status.IN_REVIEW)


@pytest.mark.slow
@committed
def test_what_is_not_done_in_every_place_is_not_said_of_all(ada: Person) -> None:
    Location.objects.create(kind="http", name="Elsewhere", is_enabled=False)
    opened = ada.file("restriction", asked={"ground": "accuracy", "what": "All"})
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    assert request.status == Status.PARTLY_COMPLETED
    for path in ("", "receipt/"):
        page = text(ada.client.get(f"/requests/{request.reference}/{path}"))
        assert "nothing else is done with it" not in page
        assert "not done yet" in page or "not final" in page


@pytest.mark.slow
@committed
def test_what_the_privacy_team_did_by_hand_is_not_said_to_be_looked_at_by_nobody_of_us(
    ada: Person, settings: Any, tmp_path: Path
) -> None:
    settings.CONNECTORS = settings.CONNECTORS | {"fake": "tests.requests.fakes.FakeConnector"}
    cleo = staff("cleo@example.org", "compliance")
    room = {"person": "Ms Green", "email": "green@example.org", "days": 14, "instructions": "Second floor."}
    save_location(Location(kind="hand", name="Filing room"), config=room, actor=Actor.system())
    add_place(tmp_path / "desk", "Support desk")
    opened = ada.file("restriction", asked={"ground": "accuracy", "what": "All"})
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    for task in Task.objects.filter(request=request):
        services.confirm_task(task, note="Done.", item_count=1, officer=cleo, actor=as_officer(cleo))
    assert run(request).status == Status.COMPLETED
    rows = text(ada.client.get(f"/requests/{request.reference}/receipt/")).split("<tr")
    said = {name: next(row for row in rows if name in row) for name in ("Filing room", "Support desk")}
    assert "not looked at by us" in said["Filing room"]
    assert "not looked at by us" not in said["Support desk"]
    assert "Done by hand by our privacy team" in said["Support desk"]


@pytest.mark.slow
@committed
def test_the_receipt_of_a_lifting_names_the_article_by_which_the_person_was_told_before(ada: Person) -> None:
    cleo = staff("cleo@example.org", "compliance")
    opened = ada.file("restriction", asked={"ground": "accuracy", "what": "All"})
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    tomorrow = today() + timedelta(days=1)
    services.announce_lift(request, on=tomorrow, text="It is settled.", actor=as_officer(cleo))
    PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=today())
    assert lift_due_restrictions() == 1
    assert run(request).status == Status.COMPLETED
    page = text(ada.client.get(f"/requests/{request.reference}/receipt/"))
    assert "You, before it was lifted (GDPR, Article 18(3))." in page
    assert "Article 19" not in page
