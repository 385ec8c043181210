"""The decisions, through the pages: identity, yes, the second yes, no."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import Group

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.services import sequence
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records.subjects import create_subject
from apps.requests import selectors, services
from apps.requests.errors import OwnRequest
from apps.requests.models import PrivacyRequest, Status
from apps.requests.staff import deciding
from tests.requests.conftest import as_officer, events, filed, run, staff
from tests.staff.conftest import Desk, page, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def approve(desk: Desk, request: PrivacyRequest) -> Any:
    """Open, look at the plan, say yes."""
    desk.look(request)
    desk.read(f"{page(request)}approve/")
    return desk.post(f"{page(request)}approve/", follow=True)


def status_of(request: PrivacyRequest) -> str:
    request.refresh_from_db()
    return request.status


class TestIdentity:
    @pytest.mark.slow
    def test_it_is_checked_and_then_the_request_waits_for_review(self, at_cleos, ada):
        request = filed(ada, "erasure", identity_level="none")
        assert "Check the identity" in at_cleos.look(request)
        at_cleos.read(f"{page(request)}identity/")
        values = {"level": "reasonable", "methods": ["data_points", "call_back"]}
        answer = at_cleos.post(f"{page(request)}identity/", values, follow=True)
        assert "Data compared with what we hold, Called back" in text_of(answer)
        assert status_of(request) == Status.IN_REVIEW
        assert events(request)[-1] == "request.verified"

    def test_without_saying_by_what_it_is_not_noted(self, at_cleos, ada):
        request = filed(ada, "erasure", identity_level="none")
        at_cleos.look(request)
        answer = at_cleos.post(f"{page(request)}identity/", {"level": "reasonable"})
        assert "Say by what it was checked" in text_of(answer)
        assert status_of(request) == Status.VERIFYING

    def test_less_than_the_right_asks_for_is_noted_and_not_enough(self, at_cleos, ada):
        request = filed(ada, "access", regime="ccpa", identity_level="none")
        at_cleos.look(request)
        at_cleos.post(f"{page(request)}identity/", {"level": "reasonable", "methods": ["email_link"]})
        assert status_of(request) == Status.VERIFYING
        assert request.identity_level == "reasonable"


class TestYes:
    def test_the_plan_names_every_place_with_counts_and_the_button_says_the_act(self, at_cleos, ada, place):
        place.put("ada@example.org", 3)
        request = filed(ada, "access")
        at_cleos.look(request)
        text = at_cleos.read(f"{page(request)}approve/")
        for words in ("Support desk", "Conversations", "Account and requests", "Archives for download", "3 items"):
            assert words in text, words
        assert "from 4 places" in text

    def test_what_forbids_an_erasure_stands_in_the_plan_before_anybody_says_yes(self, at_cleos, ada, place, tmp_path):
        shop = tmp_path / "shop.sqlite3"
        with closing(sqlite3.connect(shop)) as database:
            database.executescript("""
                CREATE TABLE customers (id integer PRIMARY KEY, email text);
                CREATE TABLE parcels (id integer PRIMARY KEY, customer integer REFERENCES customers (id));
                INSERT INTO customers VALUES (1, 'ada@example.org'), (2, 'ben@example.org');
                INSERT INTO parcels VALUES (1, 2);
            """)
        rule = {"table": "customers", "columns": ["email"], "kind": "email", "parent": "", "ignore_case": False}
        rule |= {"action": "delete", "values": {}, "why": "", "mark": ""}
        config = {"dialect": "sqlite", "database": str(shop), "horizon_days": 0, "tables": [rule]}
        save_location(Location(kind="sql", name="Shop"), config=config, actor=Actor.system())
        place.put("ada@example.org", 1)
        request = filed(ada, "erasure")
        at_cleos.look(request)
        forbids = "1 item will stay: Another table of the database points to it and forbids that it goes"
        assert forbids not in at_cleos.read(f"{page(request)}approve/")
        with closing(sqlite3.connect(shop)) as database:
            database.execute("INSERT INTO parcels VALUES (2, 1)")
            database.commit()
        place.switch(blocked_until="2031-01-03")
        text = at_cleos.read(f"{page(request)}approve/")
        assert forbids in text
        assert "1 item will stay: Locked by the storage until a date (3 January 2031)" in text
        assert len(place.items_of("ada@example.org")) == 1
        access = filed(ada, "access")
        at_cleos.look(access)
        assert "will stay" not in at_cleos.read(f"{page(access)}approve/")

    def test_places_outside_are_asked_on_the_requests_page_only_when_wanted(self, at_cleos, ada, place):
        place.put("ada@example.org", 3)
        request = filed(ada, "access")
        text = at_cleos.look(request)
        assert "Not counted on this page" in text
        assert ">3 items" not in text
        assert ">3 items" in at_cleos.read(f"{page(request)}?everywhere=1")

    def test_a_place_that_does_not_answer_is_said_so(self, at_cleos, ada, place):
        place.switch(unavailable=True)
        request = filed(ada, "access")
        at_cleos.look(request)
        text = at_cleos.read(f"{page(request)}approve/")
        assert "Does not answer" in text
        assert "Not every place could be counted" in text

    @pytest.mark.slow
    def test_one_yes_is_enough_for_a_copy(self, at_cleos, cleo, ada):
        request = filed(ada, "access")
        text = text_of(approve(at_cleos, request))
        assert "Approved. Every place is asked now." in text
        assert status_of(request) == Status.APPROVED
        entry = Entry.objects.get(about=request.handle, event="request.approved")
        assert entry.role == "officer"

    @pytest.mark.slow
    def test_without_having_seen_the_plan_there_is_no_yes(self, at_cleos, ada, monkeypatch):
        request = filed(ada, "access")
        at_cleos.look(request)
        answer = at_cleos.post(f"{page(request)}approve/")
        assert "Look at the plan first" in text_of(answer)
        assert status_of(request) == Status.IN_REVIEW
        monkeypatch.setattr(deciding, "SEEN_SECONDS", 0)
        at_cleos.post(f"{page(request)}approve/")
        assert status_of(request) == Status.IN_REVIEW
        monkeypatch.undo()
        at_cleos.post(f"{page(request)}approve/")
        assert status_of(request) == Status.APPROVED

    def test_a_sign_in_that_is_not_fresh_asks_for_the_password_first(self, at_cleos, ada):
        request = filed(ada, "access")
        at_cleos.look(request)
        at_cleos.read(f"{page(request)}approve/")
        at_cleos.let_time_pass(601)
        answer = at_cleos.post(f"{page(request)}approve/")
        assert answer.headers["Location"].startswith("/accounts/reauthenticate/")
        assert status_of(request) == Status.IN_REVIEW

    @pytest.mark.slow
    def test_an_identity_that_is_not_enough_stops_the_yes(self, at_cleos, ada):
        request = filed(ada, "access")
        PrivacyRequest.objects.filter(pk=request.pk).update(identity_level="none")
        assert "Check the identity first" in text_of(approve(at_cleos, request))
        assert status_of(request) == Status.IN_REVIEW


class TestSecondYes:
    @pytest.fixture(autouse=True)
    def _always_two(self, settings):
        settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1

    def test_an_erasure_wants_two_people(self, at_cleos, at_dans, ada):
        request = filed(ada, "erasure")
        assert "A second person decides after you" in at_cleos.look(request)
        assert "Now a second person has to agree" in text_of(approve(at_cleos, request))
        assert status_of(request) == Status.IN_REVIEW
        assert "cleo@example.org approved it on" in at_dans.look(request)
        assert "You are the second person" in at_dans.read(f"{page(request)}approve/")
        at_dans.post(f"{page(request)}approve/")
        assert status_of(request) == Status.COOLING_OFF
        assert [event for event in events(request) if "approved" in event] == [
            "request.approved",
            "request.second_approved",
        ]

    @pytest.mark.slow
    def test_the_same_person_cannot_be_both(self, at_cleos, cleo, ada):
        cleo.groups.add(*_groups("approvers"))
        request = filed(ada, "erasure")
        approve(at_cleos, request)
        answer = at_cleos.post(f"{page(request)}approve/", follow=True)
        assert "not in a state any more" in text_of(answer)
        assert "You approved it on" in text_of(answer)
        assert status_of(request) == Status.IN_REVIEW
        assert request.approvals.count() == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["role", "account", "gone"])
    def test_a_first_yes_of_somebody_who_may_not_any_more_is_void(self, at_cleos, at_dans, cleo, dan, ada, how):
        request = filed(ada, "erasure")
        approve(at_cleos, request)
        at_dans.look(request)
        at_dans.read(f"{page(request)}approve/")
        if how == "role":
            cleo.groups.set(_groups("approvers"))  # another role is not that one
        elif how == "account":
            User.objects.filter(pk=cleo.pk).update(is_active=False)
        else:
            request.approvals.update(officer=None)
        assert "may not approve any more, so it is void" in text_of(
            at_dans.post(f"{page(request)}approve/", follow=True)
        )
        assert status_of(request) == Status.IN_REVIEW
        assert not request.approvals.exists()
        assert events(request)[-1] == "request.approvals_voided"
        assert "as the second person" not in at_dans.read(page(request))
        approve(Desk(staff("carl@example.org", "compliance")), request)
        approve(at_dans, request)
        assert status_of(request) == Status.COOLING_OFF

    @pytest.mark.slow
    def test_another_reviewer_without_that_role_cannot_be_the_second(self, at_cleos, ada):
        request = filed(ada, "erasure")
        approve(at_cleos, request)
        second = Desk(staff("carl@example.org", "compliance"))
        second.look(request)
        assert second.get(f"{page(request)}approve/").status_code == 302
        assert status_of(request) == Status.IN_REVIEW

    @pytest.mark.slow
    def test_the_dashboard_counts_for_the_second_only_what_they_did_not_approve(self, at_cleos, at_dans, ada):
        request = filed(ada, "erasure")
        approve(at_cleos, request)
        assert counts(at_cleos)["Waiting for a second approver"] == "0"
        assert counts(at_dans)["Waiting for a second approver"] == "1"
        assert request.reference in at_dans.read("/admin/requests/privacyrequest/?show=second")
        assert request.reference not in at_cleos.read("/admin/requests/privacyrequest/?show=second")


class TestNo:
    @pytest.mark.slow
    def test_the_letter_is_shown_first_and_only_then_sent(self, at_cleos, ada):
        request = filed(ada, "erasure", language="zh-hans")
        letters = Letter.objects.filter(owner=request.pk).count()
        at_cleos.look(request)
        values = {"ground": "legal_claim", "text": "The court needs it."}
        text = text_of(at_cleos.post(f"{page(request)}refuse/", values))
        assert "The court needs it." in text
        assert 'lang="zh-hans"' in text
        assert status_of(request) == Status.IN_REVIEW
        answer = at_cleos.post(f"{page(request)}refuse/", values | {"shown": shown(text)}, follow=True)
        assert "Refused. The letter is on its way." in text_of(answer)
        assert status_of(request) == Status.REFUSED
        assert request.ground == "legal_claim"
        assert Letter.objects.filter(owner=request.pk).count() == letters + 1
        assert "The court needs it." in [message.text for message in selectors.messages_of(request)]

    def test_a_changed_text_is_shown_again(self, at_cleos, ada):
        request = filed(ada, "erasure")
        at_cleos.look(request)
        values = {"ground": "legal_claim", "text": "The court needs it."}
        seal = shown(text_of(at_cleos.post(f"{page(request)}refuse/", values)))
        at_cleos.post(f"{page(request)}refuse/", values | {"text": "Something else.", "shown": seal})
        assert status_of(request) == Status.IN_REVIEW

    def test_a_ground_of_another_kind_or_no_reason_is_refused(self, at_cleos, ada):
        request = filed(ada, "access")
        at_cleos.look(request)
        answer = at_cleos.post(f"{page(request)}refuse/", {"ground": "legal_claim", "text": "x"})
        assert "Select a valid choice" in text_of(answer)
        answer = at_cleos.post(f"{page(request)}refuse/", {"ground": "excessive", "text": "  "})
        assert "Write what the person will read" in text_of(answer)
        assert status_of(request) == Status.IN_REVIEW

    @pytest.mark.slow
    def test_what_is_decided_cannot_be_refused_any_more(self, at_cleos, ada):
        request = filed(ada, "access")
        approve(at_cleos, request)
        assert at_cleos.get(f"{page(request)}refuse/").status_code == 302


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_from_the_filing_to_the_archive(at_cleos, ada):
    request = filed(ada, "access")
    approve(at_cleos, request)
    run(request)
    sequence()
    text = at_cleos.read(page(request))
    assert status_of(request) == Status.COMPLETED
    for words in (
        "Nothing to do. Complete since",
        "3 of 3 places are done",
        "Archive 1",
        "not fetched yet",
        "proof</a>",
    ):
        assert words in text, words
    proofs = [part.split('"')[0] for part in text.split('href="')[1:] if "/entries/" in part.split('"')[0]]
    assert at_cleos.get(proofs[0]).content.startswith(b"c2sp.org/tlog-proof@v1")


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_from_two_approvals_to_the_receipt(at_cleos, at_dans, ada, ben, settings):
    settings.SECOND_APPROVER_ABOVE_CONVERSATIONS = -1
    settings.ERASURE_COOLING_OFF_DAYS = 0
    request = filed(ada, "erasure")
    approve(at_cleos, request)
    approve(at_dans, request)
    run(request)
    assert status_of(request) == Status.COMPLETED
    text = at_cleos.read(page(request))
    for words in ("Unreadable from", "Receipt 1", "The person&#x27;s data is erased", "Destroy the keys"):
        assert words in text or words.replace("&#x27;", "'") in text, words
    assert at_cleos.get(f"{page(request)}receipts/1/").content.startswith(b"c2sp.org/tlog-proof@v1")
    assert at_cleos.get(f"{page(request)}receipts/2/").status_code == 404
    ben.refresh_from_db()


def shown(text: str) -> str:
    return text.split('name="shown" value="')[1].split('"')[0]


def counts(desk: Desk) -> dict[str, str]:
    """The cards of the dashboard."""
    parts = desk.read("/admin/").split('class="card')[1:]
    cards = [part for part in parts if "<span>" in part.split("</a>")[0]]
    return {part.split("<span>")[1].split("<")[0]: part.split("<b>")[1].split("<")[0] for part in cards}


def _groups(name: str) -> Any:
    return Group.objects.filter(name=name)


class TestOwn:
    @pytest.fixture
    def cleos(self, cleo):
        return create_subject(cleo, emails=[cleo.email])

    @pytest.mark.parametrize("kind", ["access", "erasure"])
    def test_nobody_decides_on_a_request_about_themselves(self, at_cleos, cleos, cleo, kind):
        request = filed(cleos, kind)
        assert "This request is about you" in at_cleos.look(request)
        for act in ("approve", "refuse", "known-by", "hold", "withdraw", "extend"):
            assert "This request is about you" in text_of(at_cleos.get(f"{page(request)}{act}/", follow=True)), act
        at_cleos.post(f"{page(request)}approve/")
        at_cleos.post(f"{page(request)}known-by/", {"kind": "phone", "value": "+49 30 1"})
        with pytest.raises(OwnRequest):
            services.approve_request(request, actor=as_officer(cleo), officer=cleo)
        with pytest.raises(OwnRequest):
            services.note_identity(request, "phone", "+49 30 1", officer=cleo, actor=as_officer(cleo))
        assert status_of(request) == Status.IN_REVIEW
        assert not request.approvals.exists()
        assert set(events(request)) == {"request.opened", "request.looked_at"}

    @pytest.mark.slow
    def test_a_colleague_decides_on_it(self, at_cleos, cleos):
        request = filed(cleos)
        colleague = Desk(staff("carl@example.org", "compliance"))
        assert "This request is about you" not in colleague.look(request)
        approve(colleague, request)
        assert status_of(request) == Status.APPROVED

    def test_its_identity_is_not_checked_by_oneself(self, at_cleos, cleos):
        request = filed(cleos, "erasure", identity_level="none")
        at_cleos.look(request)
        at_cleos.post(f"{page(request)}identity/", {"level": "reasonable", "methods": ["call_back"]})
        assert status_of(request) == Status.VERIFYING
