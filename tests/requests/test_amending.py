"""Rectification, end to end: what an officer fills in, what places do, and who does what they cannot."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records import services as records
from apps.records import subjects
from apps.records.models import Conversation
from apps.records.services import place_hold
from apps.requests import amending, claims, engine, selectors, services
from apps.requests.corrections import HAND, VALUES, Correction
from apps.requests.dates import today
from apps.requests.errors import (
    CorrectionsWanted,
    EmptyText,
    ErasureAgreed,
    FoundThereWanted,
    UnknownGround,
    UnknownKind,
    WrongStatus,
)
from apps.requests.models import PrivacyRequest, Status, Task
from apps.requests.services.correcting import open_places
from tests.contracts.databases import SqlPlace, sql_place
from tests.records.conftest import conversation
from tests.requests.amending import (
    OWN,
    RESTING,
    WISH,
    confirm,
    rectification,
    restriction,
    said,
    said_in,
    values,
)
from tests.requests.conftest import (
    ADA,
    BEN,
    as_officer,
    as_person,
    events,
    filed,
    run,
    states,
    step_at,
    there,
    wake,
)
from tests.requests.test_erasure import body, result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.mark.slow
def test_what_an_officer_filled_in_is_corrected_there_and_bens_is_not(ada, ben, cleo, crm):
    request = rectification(ada, cleo, CRM=values(("name", "Adda", "Ada"), ("city", None, "Potsdam")))
    assert request.status == Status.COMPLETED
    assert crm.values == {ADA: {"name": "Ada", "city": "Potsdam"}, BEN: {"name": "Adda", "city": "Bonn"}}
    done = result(request, "CRM")
    assert (done["outcome"], done["changed"], done["confirmed_by_person_at"]) == ("rectified", 2, None)
    assert {result(request, name)["outcome"] for name in OWN} == {"not_concerned"}
    receipt = body(request)
    assert (receipt["act"], receipt["is_final"], receipt["law"]["article"]) == ("rectified", True, "Article 16")
    assert receipt["told"] == {"law": "Article 19", "places": ["CRM"]}
    text = json.dumps(receipt)
    assert not any(word in text for word in ("Adda", "Potsdam", ADA, "<script"))
    elsewhere = rectification(ada, cleo)  # the control: nothing is to be corrected there, and nobody is asked
    assert (result(elsewhere, "CRM")["outcome"], body(elsewhere)["told"]["places"]) == ("not_concerned", [])
    assert "request.corrections_noted" in events(request)


def test_the_log_says_how_many_were_corrected_and_never_what(ada, cleo, crm):
    request = rectification(ada, cleo, CRM=values(("name", "Adda", "Ada")))
    story = selectors.timeline(request)
    done = [one.details for one in story if one.event == "step.done" and one.place == "CRM"]
    assert [one["corrected"] for one in done] == [1]
    assert "Adda" not in json.dumps([one.details for one in story], default=str)


@pytest.mark.slow
def test_a_place_that_cannot_gets_a_task_and_the_receipt_says_who_did_it(ada, cleo, place):
    place.put(ADA, 1)
    request = rectification(ada, cleo, Support_desk=Correction(HAND))
    assert (request.status, states(request)["Support desk"]) == (Status.PARTLY_COMPLETED, "needs_person")
    assert (result(request, "Support desk")["outcome"], body(request)["is_final"]) == ("needs_person", False)
    task = Task.objects.get(request=request)
    assert Letter.objects.filter(owner=task.pk).count() == 1
    confirm(request, "Support desk", cleo, item_count=3)
    assert request.status == Status.COMPLETED
    done = result(request, "Support desk")
    assert (done["outcome"], done["changed"]) == ("rectified", 3)
    assert done["confirmed_by_person_at"]


@pytest.mark.slow
def test_a_place_that_breaks_off_midway_goes_on_and_changes_nothing_twice(ada, cleo, crm):
    crm.switch(breaks_after=1)
    request = rectification(ada, cleo, CRM=values(("name", "Adda", "Ada"), ("city", "Bonn", "Potsdam")))
    assert (states(request)["CRM"], step_at(request, "CRM").reason) == ("blocked", "unreachable")
    assert crm.values[ADA] == {"name": "Ada", "city": "Bonn"}
    crm.switch(breaks_after=None)
    wake(request)
    assert run(request).status == Status.COMPLETED
    assert crm.values[ADA] == {"name": "Ada", "city": "Potsdam"}


@pytest.mark.slow
def test_a_field_that_is_not_there_comes_back_to_the_officer_who_can_say_it_again(ada, cleo, crm):
    request = rectification(ada, cleo, CRM=values(("nom", "Adda", "Ada")))
    step = step_at(request, "CRM")
    assert (step.state, step.reason, crm.values[ADA]["name"]) == ("needs_person", "refused", "Adda")
    assert [place.name for place in open_places(request)] == ["CRM"]
    location = Location.objects.get(name="CRM")
    services.note_corrections(request, {location: values(("name", "Adda", "Ada"))}, actor=as_officer(cleo))
    assert run(request).status == Status.COMPLETED
    assert crm.values[ADA]["name"] == "Ada"
    assert not Task.objects.filter(request=request).exists()
    with pytest.raises(WrongStatus):  # the place is done
        services.note_corrections(request, {location: values(("name", "Ada", "Eve"))}, actor=as_officer(cleo))


def test_a_step_that_was_cut_off_after_the_change_is_done_once_and_counts_what_is_there(ada, cleo, crm, monkeypatch):
    request = filed(ada, "rectification", asked=WISH)
    services.note_corrections(request, said(CRM=values(("name", "Adda", "Ada"))), actor=as_officer(cleo))
    services.approve_request(request, officer=cleo, actor=as_officer(cleo))

    def die(*_args: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("apps.requests.claims.progress", die)
        with pytest.raises(KeyboardInterrupt):
            engine.run_request(request.pk)
    wake(request)
    assert run(request).status == Status.COMPLETED
    assert crm.values[ADA]["name"] == "Ada"
    assert events(request).count("receipt.issued") == events(request).count("request.completed") == 1


@pytest.mark.parametrize(
    ("field", "state"), [("city", "done"), ("town", "needs_person")], ids=["emptied", "never there"]
)
def test_a_field_that_was_emptied_before_a_crash_is_told_from_one_that_never_was(
    ada, cleo, crm, settings, monkeypatch, field, state
):
    settings.CONNECTORS = settings.CONNECTORS | {"changing": "tests.requests.fakes.ForgettingPlace"}
    request = filed(ada, "rectification", asked=WISH)
    services.note_corrections(request, said(CRM=values((field, "Bonn", None))), actor=as_officer(cleo))
    services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    progress = claims.progress

    def die_at_the_end(claim: claims.Claim, cursor: str, **more: Any) -> Any:
        if cursor == amending.ALL_DONE:
            raise KeyboardInterrupt
        return progress(claim, cursor, **more)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr("apps.requests.claims.progress", die_at_the_end)
        engine.run_request(request.pk)
    assert ("city" in crm.values[ADA]) == (field != "city")
    wake(request)
    run(request)
    assert states(request)["CRM"] == state
    assert crm.values[BEN] == {"name": "Adda", "city": "Bonn"}


def test_no_yes_before_it_is_said_what_is_corrected_where(ada, cleo, crm):
    request = filed(ada, "rectification", asked=WISH)
    with pytest.raises(CorrectionsWanted):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    some = {
        place: way for place, way in said(CRM=values(("name", "Adda", "Ada"))).items() if place.name != "Conversations"
    }
    services.note_corrections(request, some, actor=as_officer(cleo))
    with pytest.raises(CorrectionsWanted):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    assert request.steps.count() == 0
    services.note_corrections(request, said(), actor=as_officer(cleo))
    assert services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    with pytest.raises(WrongStatus):
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    assert request.approvals.count() == 1


def test_a_place_added_meanwhile_is_looked_at_by_a_person(ada, cleo, crm, tmp_path):
    request = filed(ada, "rectification", asked=WISH)
    services.note_corrections(request, said(CRM=values(("name", "Adda", "Ada"))), actor=as_officer(cleo))
    services.approve_request(request, officer=cleo, actor=as_officer(cleo))
    save_location(Location(kind="changing", name="New"), config={"folder": str(tmp_path / "new")}, actor=Actor.system())
    assert run(request).status == Status.PARTLY_COMPLETED
    assert states(request)["New"] == "needs_person"


def test_it_is_withdrawn_before_work_begins_and_not_after(ada, cleo, crm):
    first = filed(ada, "restriction", asked=RESTING)
    services.withdraw_request(first, actor=as_person(ada))
    assert first.status == Status.WITHDRAWN
    second = restriction(ada, cleo)
    with pytest.raises(WrongStatus):
        services.withdraw_request(second, actor=as_person(ada))
    third = filed(ada, "rectification", asked=WISH)
    PrivacyRequest.objects.filter(pk=third.pk).update(status=Status.RUNNING)
    assert not selectors.is_withdrawable(PrivacyRequest.objects.get(pk=third.pk))
    with pytest.raises(WrongStatus):
        services.withdraw_request(third, actor=as_person(ada))


@pytest.mark.slow
def test_nobody_corrects_whom_an_erasure_takes_that_somebody_agreed_to(ada, ben, cleo, crm):
    erasure = filed(ada, "erasure")
    services.approve_request(erasure, rule="command_line", actor=Actor.command_line())
    with pytest.raises(ErasureAgreed):
        rectification(ada, cleo, Conversations=values(("user_id", "ada-1", "4711")))
    assert rectification(ben, cleo, CRM=values(("name", "Adda", "Ben"))).status == Status.COMPLETED


class TestWhatIsSomebodyElses:
    """Ada is known here by the user id 42 and an address, which are Ben's: his rows are found by them in the shop."""

    @pytest.fixture
    def shop(self, ada, tmp_path) -> SqlPlace:
        subjects.add_identity(ada, "user_id", "42", actor=Actor.system())
        subjects.add_identity(ada, "email", BEN, actor=Actor.system())
        shop = sql_place("sqlite", None, tmp_path)
        shop.fill()
        save_location(Location(kind="sql", name="Shop"), config=shop.config, actor=Actor.system())
        return shop

    @pytest.mark.parametrize(
        "wrong",
        [
            {"Conversations": values(("user_id", "42", "4"))},
            {"Shop": values(("notes.user_id", " 42", "4"))},
            {"Shop": values(("email", BEN.upper(), ADA))},
        ],
    )
    def test_nothing_is_written_where_it_is_not_said_what_is_found_there(self, ada, cleo, shop, wrong):
        request = filed(ada, "rectification", asked=WISH)
        unseen = values(("notes.body", None, "hers"))
        both = {"Shop": Correction(VALUES, (*unseen.changes, *wrong.get("Shop", unseen).changes))}
        with pytest.raises(FoundThereWanted) as refused:
            services.note_corrections(request, said(**(wrong | both)), actor=as_officer(cleo))
        assert [place.name for place in refused.value.places] == ["Shop"]
        assert not any(word in str(refused.value) for word in ("42", "Shop"))
        services.note_corrections(request, said(Shop=unseen), actor=as_officer(cleo))  # nothing is called wrong
        if "Conversations" in wrong:  # said one after the other it is the same
            with pytest.raises(FoundThereWanted):
                services.note_corrections(request, said(Shop=unseen, **wrong), actor=as_officer(cleo))
        services.note_corrections(request, said(Shop=Correction(HAND)), actor=as_officer(cleo))

    @pytest.mark.slow
    def test_bens_rows_stay_the_same_and_a_person_looks(self, ada, cleo, shop):
        before = shop.everything()
        bens = "=note\n1 🦉"
        request = rectification(
            ada, cleo, Conversations=values(("user_id", "42", "4")),
            Shop=values(("notes.body", bens, "hers"), ("notes.user_id", "42", "4")),
        )  # fmt: skip
        step = step_at(request, "Shop")
        assert (step.state, step.reason) == ("needs_person", "perhaps_anothers")
        assert shop.everything() == before
        assert sorted(subjects.identities_of(ada))[-1] == ("user_id", "4")
        assert confirm(request, "Shop", cleo).status == Status.COMPLETED
        again = rectification(ada, cleo, Shop=values(("notes.body", "=note\n0 🦉", "hers")))
        assert result(again, "Shop")["changed"] == 1  # the control: hers is found by what is right now
        changed = {name for name, digest in shop.everything().items() if before[name] != digest}
        assert len(changed) == 1

    @pytest.mark.slow
    def test_an_address_that_was_proven_is_hers_also_when_it_is_to_be_another(self, ada, cleo, shop):
        EmailAddress.objects.create(user=ada.account, email=ADA, verified=True, primary=True)
        before = shop.everything()
        request = rectification(ada, cleo, Shop=values(("customers.email", ADA, "ada@new.example")))
        assert (request.status, result(request, "Shop")["changed"]) == (Status.COMPLETED, 1)
        assert len(before.keys() - shop.everything().keys()) == 1
        EmailAddress.objects.filter(user=ada.account).update(verified=False)
        again = rectification(ada, cleo, Shop=values(("customers.email", ADA, "ada@other.example")))
        assert step_at(again, "Shop").reason == "perhaps_anothers"

    def test_a_place_that_knows_nobody_by_it_corrects_as_ever(self, ada, cleo, shop):
        customers = [line for line in shop.config["tables"] if line["table"] == "customers"]
        save_location(
            Location.objects.get(name="Shop"), config=shop.config | {"tables": customers}, actor=Actor.system()
        )
        request = rectification(
            ada, cleo, Conversations=values(("user_id", "42", "4")), Shop=values(("name", "Ada", "Ada B."))
        )
        assert (request.status, result(request, "Shop")["changed"]) == (Status.COMPLETED, 1)

    def test_what_they_came_to_be_known_by_after_the_noting_counts_too(self, ada, cleo, crm):
        request = filed(ada, "rectification", asked=WISH)
        unseen = values(("city", None, "Potsdam"))
        services.note_corrections(
            request, said(Conversations=values(("user_id", "42", "4")), CRM=unseen), actor=as_officer(cleo)
        )
        subjects.add_identity(ada, "user_id", "42", actor=Actor.system())
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
        run(request)
        assert (step_at(request, "CRM").reason, crm.values[ADA]["city"]) == ("perhaps_anothers", "Bonn")


class TestOwnPlaces:
    @pytest.mark.slow
    def test_words_of_adas_messages_are_corrected_under_another_key_and_bens_stay(self, ada, ben, cleo):
        for subject in (ada, ben):
            records.store_conversations(
                subject, [conversation("c1", "I am Adda, of Bonn.", "Hi Adda")], actor=Actor.system()
            )
        before = Conversation.objects.get(subject=ada)
        request = rectification(ada, cleo, Conversations=values(("message", "Adda", "Ada")))
        assert (request.status, result(request, "Conversations")["changed"]) == (Status.COMPLETED, 1)
        after = Conversation.objects.get(subject=ada)
        assert after.key_id != before.key_id
        assert said_in(ada) == ["I am Ada, of Bonn.", "Hi Adda"]  # what an assistant said is not put into other words
        assert said_in(ben) == ["I am Adda, of Bonn.", "Hi Adda"]

    def test_a_message_that_is_to_go_goes_whoever_wrote_it(self, ada, cleo):
        records.store_conversations(
            ada, [conversation("c1", "Who am I?", "You are a convicted thief.")], actor=Actor.system()
        )
        request = rectification(ada, cleo, Conversations=values(("message", "a convicted thief", None)))
        assert (request.status, said_in(ada)) == (Status.COMPLETED, ["Who am I?", ""])

    @pytest.mark.slow
    def test_a_longer_word_is_not_corrected_again_by_a_repeat(self, ada, cleo):
        records.store_conversations(ada, [conversation("c1", "Ann here")], actor=Actor.system())
        for _ in range(2):
            rectification(ada, cleo, Conversations=values(("message", "Ann", "Anna")))
        assert said_in(ada) == ["Anna here"]

    @pytest.mark.parametrize(
        "change",
        [
            ("message", "A", "B"),
            ("message", None, "B"),
            ("message", "short", None),
            ("email", ADA, BEN),
            ("shoe", "1", "2"),
            ("user_id", "1", "ben-1"),
        ],
    )
    def test_what_cannot_be_corrected_like_that_needs_a_person_and_nothing_is_changed(self, ada, ben, cleo, change):
        subjects.add_identity(ada, "user_id", "1", actor=Actor.system())
        subjects.add_identity(ben, "user_id", "ben-1", actor=Actor.system())
        request = rectification(ada, cleo, Conversations=values(change))
        assert (states(request)["Conversations"], step_at(request, "Conversations").reason) == (
            "needs_person",
            "refused",
        )
        assert sorted(subjects.identities_of(ada)) == [("email", ADA), ("user_id", "1")]

    def test_what_the_person_is_known_by_is_corrected(self, ada, cleo):
        subjects.add_identity(ada, "phone", "+49 1", actor=Actor.system())
        request = rectification(ada, cleo, Conversations=values(("phone", "+49 1", "+49 2")))
        assert (request.status, result(request, "Conversations")["changed"]) == (Status.COMPLETED, 1)
        assert sorted(subjects.identities_of(ada)) == [("email", ADA), ("phone", "+49 2")]

    def test_a_place_that_knows_them_by_what_is_wrong_here_is_still_asked_with_it(self, ada, cleo, crm, settings):
        settings.CONNECTORS = settings.CONNECTORS | {"changing": "tests.requests.fakes.PlaceByPhone"}
        crm.set("+49 1", phone="+49 1")
        subjects.add_identity(ada, "phone", "+49 1", actor=Actor.system())
        request = filed(ada, "rectification", asked=WISH)
        change = values(("phone", "+49 1", "+49 2"))
        services.note_corrections(request, said(Conversations=change, CRM=change), actor=as_officer(cleo))
        services.approve_request(request, officer=cleo, actor=as_officer(cleo))
        request.steps.filter(location__name="CRM").update(order=1)  # after our own records
        assert run(request).status == Status.COMPLETED
        assert ("phone", "+49 2") in subjects.identities_of(ada)
        assert crm.values["+49 1"] == {"phone": "+49 2"}
        assert result(request, "CRM")["outcome"] == "rectified"

    def test_a_held_conversation_is_blocked_until_its_day(self, ada, cleo):
        records.store_conversations(ada, [conversation("c1", "Adda here")], actor=Actor.system())
        until = today() + timedelta(days=9)
        place_hold(ada, basis="claim", until=until, actor=Actor.system())
        request = rectification(ada, cleo, Conversations=values(("message", "Adda", "Ada")))
        step = step_at(request, "Conversations")
        assert (request.status, step.state, step.reason, step.until) == (
            Status.PARTLY_COMPLETED,
            "blocked",
            "legal_hold",
            until,
        )
        assert said_in(ada) == ["Adda here"]


@pytest.mark.django_db(databases=["default", "keys"])
class TestFiling:
    def test_what_is_asked_is_sealed_and_read_only_under_the_request_key(self, ada):
        request = filed(ada, "rectification", asked=WISH)
        assert request.status == Status.IN_REVIEW  # no standing policy says yes to it
        assert b"Adda" not in bytes(there(request.sealed))
        assert [line.text for line in selectors.asked_of(request)] == ["In a conversation", WISH["wrong"], "Ada"]

    @pytest.mark.parametrize("asked", [{}, {"wrong": "x"}, {"wrong": " ", "right": "y"}])
    def test_without_words_nothing_is_filed(self, ada, asked):
        with pytest.raises(EmptyText):
            filed(ada, "rectification", asked=asked)
        assert PrivacyRequest.objects.count() == 0

    @pytest.mark.parametrize("ground", ["", "because", "accurate"])
    def test_a_restriction_wants_one_of_the_four_grounds(self, ada, ground):
        with pytest.raises(UnknownGround):
            filed(ada, "restriction", asked=RESTING | {"ground": ground})
        for code in ("accuracy", "unlawful", "claim", "objection"):
            filed(ada, "restriction", asked=RESTING | {"ground": code})

    def test_californias_law_corrects_and_does_not_restrict(self, ada):
        request = filed(ada, "rectification", regime="ccpa", asked=WISH)
        assert (request.due_on - request.received_at.date()).days in (44, 45)
        with pytest.raises(UnknownKind):
            filed(ada, "restriction", regime="ccpa", asked=RESTING)
