"""Rectification and restriction, end to end: what an officer fills in, what places do, and who does what they cannot."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.contract import Change
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records import services as records
from apps.records import subjects
from apps.records.errors import RecordingRestricted
from apps.records.models import Conversation, Subject
from apps.records.selectors.reading import read_conversation
from apps.records.services import place_hold
from apps.records.services.restricting import release_subject
from apps.requests import engine, selectors, services, upkeep
from apps.requests.corrections import HAND, NOTHING, VALUES, Correction
from apps.requests.dates import today
from apps.requests.errors import (
    CorrectionsWanted,
    EmptyText,
    ErasureAgreed,
    FoundThereWanted,
    OtherRestriction,
    TooSoon,
    UnknownGround,
    UnknownKind,
    WrongStatus,
)
from apps.requests.models import PrivacyRequest, Status, Task
from apps.requests.services import lifting
from apps.requests.services.correcting import open_places
from apps.requests.services.lifting import lift_due_restrictions
from tests.contracts.databases import SqlPlace, sql_place
from tests.records.conftest import conversation
from tests.requests.conftest import add_place, as_officer, as_person, events, filed, run, states, step_at, there, wake
from tests.requests.fakes import ChangingPlace
from tests.requests.test_erasure import body, result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

ADA, BEN = "ada@example.org", "ben@example.org"
WISH = {"where": "conversation", "wrong": "It says Adda <script>alert(1)</script>.", "right": "Ada"}
RESTING = {"ground": "accuracy", "what": "Everything about my flat."}
OWN = ("Conversations", "Your downloads", "Account and requests")


@pytest.fixture
def crm(own_places, settings, tmp_path) -> ChangingPlace:
    settings.CONNECTORS = settings.CONNECTORS | {"changing": "tests.requests.fakes.ChangingPlace"}
    config = {"folder": str(tmp_path / "crm")}
    save_location(Location(kind="changing", name="CRM"), config=config, actor=Actor.system())
    place = ChangingPlace(config)
    place.set(ADA, name="Adda", city="Bonn")
    place.set(BEN, name="Adda", city="Bonn")
    return place


def said(**ways: Any) -> dict[Location, Correction]:
    """Say for the places named what becomes of them, and for all others that nothing is to be corrected there."""
    names = {name.replace("_", " "): way for name, way in ways.items()}
    return {place: names.get(place.name, Correction(NOTHING)) for place in Location.objects.all()}


def values(*changes: tuple[str, str | None, str | None]) -> Correction:
    return Correction(VALUES, tuple(Change(field, right, before) for field, before, right in changes))


def rectification(subject: Subject, officer, **ways: Any) -> PrivacyRequest:
    request = filed(subject, "rectification", asked=WISH)
    services.note_corrections(request, said(**ways), actor=as_officer(officer))
    services.approve_request(request, officer=officer, actor=as_officer(officer))
    return run(request)


def restriction(subject: Subject, officer, **more: Any) -> PrivacyRequest:
    request = filed(subject, "restriction", asked=RESTING, **more)
    services.approve_request(request, officer=officer, actor=as_officer(officer))
    return run(request)


def confirm(request: PrivacyRequest, place: str, officer, **more: Any) -> PrivacyRequest:
    task = Task.objects.get(request=request, step__location__name=place, confirmed_at__isnull=True)
    options = dict[str, Any]({"note": "Done.", "item_count": 1}) | more
    services.confirm_task(task, officer=officer, actor=as_officer(officer), **options)
    return run(request)


def restricted_since(subject: Subject) -> Any:
    return Subject.objects.get(pk=subject.pk).restricted_at


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


def test_a_place_that_breaks_off_midway_goes_on_and_changes_nothing_twice(ada, cleo, crm):
    crm.switch(breaks_after=1)
    request = rectification(ada, cleo, CRM=values(("name", "Adda", "Ada"), ("city", "Bonn", "Potsdam")))
    assert (states(request)["CRM"], step_at(request, "CRM").reason) == ("blocked", "unreachable")
    assert crm.values[ADA] == {"name": "Ada", "city": "Bonn"}
    crm.switch(breaks_after=None)
    wake(request)
    assert run(request).status == Status.COMPLETED
    assert crm.values[ADA] == {"name": "Ada", "city": "Potsdam"}


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


def said_in(subject: Subject) -> list[str]:
    row = Conversation.objects.get(subject=subject, erasing_at__isnull=True)
    return ["".join(part.text for part in turn.parts) for turn in read_conversation(subject, row.pk).turns]


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


class TestRestriction:
    def test_places_are_marked_and_the_receipt_says_where(self, ada, ben, cleo, crm):
        records.store_conversations(ada, [conversation("c1", "Hi")], actor=Actor.system())
        request = restriction(ada, cleo)
        assert request.status == Status.COMPLETED
        assert restricted_since(ada)
        assert not restricted_since(ben)
        assert (crm.values[ADA]["restricted"], "restricted" in crm.values[BEN]) == (True, False)
        assert {name: result(request, name)["outcome"] for name in (*OWN, "CRM")} == {
            "Conversations": "restricted", "Your downloads": "nothing_to_change", "Account and requests": "nothing_to_change", "CRM": "restricted",
        }  # fmt: skip
        receipt = body(request)
        assert (receipt["act"], receipt["ground"], receipt["kind"]) == ("restricted", "Article 18(1)(a)", "restriction")
        assert "flat" not in json.dumps(receipt)

    def test_a_place_without_marks_needs_a_person(self, ada, cleo, place):
        request = restriction(ada, cleo)
        assert (request.status, states(request)["Support desk"]) == (Status.PARTLY_COMPLETED, "needs_person")
        assert restricted_since(ada)
        confirm(request, "Support desk", cleo)
        assert request.status == Status.COMPLETED
        assert result(request, "Support desk")["outcome"] == "restricted"

    def test_the_person_is_told_before_it_is_lifted_and_gets_a_further_receipt(self, ada, cleo, crm):
        request = restriction(ada, cleo)
        for day in (today(), today() - timedelta(days=1)):
            with pytest.raises(TooSoon):
                services.announce_lift(request, on=day, text="You were right.", actor=as_officer(cleo))
        with pytest.raises(EmptyText):
            services.announce_lift(request, on=today() + timedelta(days=3), text=" ", actor=as_officer(cleo))
        letters = Letter.objects.filter(owner=request.pk).count()
        services.announce_lift(request, on=today() + timedelta(days=3), text="You were right.", actor=as_officer(cleo))
        assert Letter.objects.filter(owner=request.pk).count() == letters + 1
        assert lift_due_restrictions() == 0
        assert restricted_since(ada)
        PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=today())
        assert (upkeep.nightly()["restrictions lifted"], lift_due_restrictions()) == (1, 0)
        run(request)
        assert (request.status, bool(request.lifted_at), restricted_since(ada)) == (Status.COMPLETED, True, None)
        assert crm.values[ADA]["restricted"] is False
        assert [one.number for one in selectors.receipts_of(request)] == [2, 1]
        assert (body(request)["act"], result(request, "CRM")["outcome"]) == ("lifted", "lifted")
        assert body(request, 1)["act"] == "restricted"
        assert [body(request, number)["told"]["law"] for number in (1, 2)] == ["Article 19", "Article 18(3)"]
        with pytest.raises(WrongStatus):
            services.announce_lift(request, on=today() + timedelta(days=3), text="Again.", actor=as_officer(cleo))

    def test_where_a_person_marked_it_a_person_takes_the_mark_away(self, ada, cleo, place):
        request = confirm(restriction(ada, cleo), "Support desk", cleo)
        services.announce_lift(request, on=today() + timedelta(days=1), text="Decided.", actor=as_officer(cleo))
        PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=today())
        lift_due_restrictions()
        assert run(request).status == Status.PARTLY_COMPLETED
        assert (request.lifted_at, restricted_since(ada)) == (None, None)
        assert confirm(request, "Support desk", cleo).status == Status.COMPLETED
        assert request.lifted_at

    def test_what_is_being_marked_is_not_lifted_before_it_has_ended(self, ada, cleo, place):
        request = restriction(ada, cleo)
        later = timezone.now() + timedelta(minutes=10)
        marking = request.steps.filter(location__name="Support desk")
        marking.update(state="running", token=uuid4(), lease_until=later)
        PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=today())
        assert lift_due_restrictions() == 0
        marking.update(lease_until=timezone.now())
        assert lift_due_restrictions() == 1

    def test_nothing_new_is_stored_until_it_is_lifted(self, ada, ben, cleo):
        restriction(ada, cleo)
        with pytest.raises(RecordingRestricted):
            records.store_conversations(ada, [conversation("c1", "Hi")], actor=Actor.system())
        assert records.store_conversations(ben, [conversation("c1", "Hi")], actor=Actor.system()).conversations == 1
        release_subject(ada.pk, actor=Actor.system())
        assert records.store_conversations(ada, [conversation("c1", "Hi")], actor=Actor.system()).conversations == 1

    def test_an_erasure_waits_until_it_is_lifted(self, ada, cleo):
        restriction(ada, cleo)
        erasure = filed(ada, "erasure")
        services.approve_request(erasure, rule="command_line", actor=Actor.command_line())
        run(erasure)
        step = erasure.steps.get(phase="prepare")
        assert (step.state, step.reason, erasure.is_destroyed) == ("blocked", "restricted", False)
        subjects_row = Subject.objects.filter(pk=ada.pk)
        subjects_row.update(restricted_at=None)
        wake(erasure)
        assert run(erasure).status == Status.COMPLETED

    def test_one_at_a_time_so_that_lifting_one_lifts_no_other(self, ada, ben, cleo):
        first = restriction(ada, cleo)
        second = filed(ada, "restriction", asked=RESTING)
        with pytest.raises(OtherRestriction):
            services.approve_request(second, officer=cleo, actor=as_officer(cleo))
        assert restriction(ben, cleo).status == Status.COMPLETED
        PrivacyRequest.objects.filter(pk=first.pk).update(lifted_at=first.ended_at)
        assert services.approve_request(second, officer=cleo, actor=as_officer(cleo))

    def test_a_place_added_while_it_stands_is_asked_too_and_the_lifting_covers_it(self, ada, ben, cleo, crm, tmp_path):
        request, bens = restriction(ada, cleo), restriction(ben, cleo)
        PrivacyRequest.objects.filter(pk=bens.pk).update(lifted_at=bens.ended_at)
        assert upkeep.tidy()["places told of restrictions"] == 0
        config = {"folder": str(tmp_path / "new")}
        new = ChangingPlace(config)
        new.set(ADA, name="Ada")
        new.set(BEN, name="Ben")
        save_location(Location(kind="changing", name="New"), config=config, actor=Actor.system())
        add_place(tmp_path / "desk", "Support desk")
        assert (upkeep.tidy()["places told of restrictions"], upkeep.tidy()["places told of restrictions"]) == (2, 0)
        assert run(request).status == Status.PARTLY_COMPLETED  # the desk has no mark for it
        assert (new.values[ADA].get("restricted"), new.values[BEN].get("restricted")) == (True, None)
        assert step_at(request, "Support desk").reason == "by_hand"
        assert confirm(request, "Support desk", cleo).status == Status.COMPLETED
        assert result(request, "New")["outcome"] == result(request, "Support desk")["outcome"] == "restricted"
        assert [(one.number, one.is_final) for one in selectors.receipts_of(request)] == [
            (3, True),
            (2, False),
            (1, True),
        ]
        assert events(request).count("request.restriction_extended") == 1
        services.announce_lift(request, on=today() + timedelta(days=1), text="Decided.", actor=as_officer(cleo))
        PrivacyRequest.objects.filter(pk=request.pk).update(lift_on=today())
        assert lift_due_restrictions() == 1
        add_place(tmp_path / "late", "Late")
        assert upkeep.tidy()["places told of restrictions"] == 0  # what ends takes in no new place
        confirm(run(request), "Support desk", cleo)
        assert (request.status, new.values[ADA]["restricted"]) == (Status.COMPLETED, False)

    def test_a_worker_that_comes_second_to_a_new_place_changes_nothing(self, ada, cleo, tmp_path):
        request = restriction(ada, cleo)
        before = events(request)
        assert lifting._extend(request) == 0
        request.refresh_from_db()
        assert (request.status, events(request)) == (Status.COMPLETED, before)
        add_place(tmp_path / "new", "New")
        assert lifting._extend(request) == 1

    def test_while_a_step_works_no_place_is_added_to_it(self, ada, cleo, place, tmp_path):
        request = restriction(ada, cleo)
        marking = request.steps.filter(location__name="Support desk")
        marking.update(state="running", token=uuid4(), lease_until=timezone.now() + timedelta(minutes=10))
        add_place(tmp_path / "new", "New")
        assert upkeep.tidy()["places told of restrictions"] == 0
        marking.update(lease_until=timezone.now())
        assert upkeep.tidy()["places told of restrictions"] == 1

    def test_a_place_that_no_worker_saw_when_it_was_new_is_asked_by_the_hourly_run(self, ada, cleo, tmp_path):
        restriction(ada, cleo)
        add_place(tmp_path / "new", "New")
        Location.objects.update(created_at=timezone.now() - timedelta(hours=2))
        assert upkeep.tidy()["places told of restrictions"] == 0
        assert upkeep.nightly()["restrictions extended"] == 1

    def test_its_record_is_kept_while_it_stands(self, ada, cleo):
        request = restriction(ada, cleo)
        PrivacyRequest.objects.filter(pk=request.pk).update(retain_until=today() - timedelta(days=1))
        assert upkeep.end_retentions() == 0
        PrivacyRequest.objects.filter(pk=request.pk).update(lifted_at=request.ended_at)
        assert upkeep.end_retentions() == 1

    def test_a_correction_of_what_they_are_known_by_waits_too(self, ada, cleo):
        subjects.add_identity(ada, "phone", "+49 1", actor=Actor.system())
        restriction(ada, cleo)
        request = rectification(ada, cleo, Conversations=values(("phone", "+49 1", "+49 2")))
        assert step_at(request, "Conversations").reason == "restricted"
        assert ("phone", "+49 1") in subjects.identities_of(ada)

    def test_a_correction_waits_until_it_is_lifted(self, ada, cleo):
        records.store_conversations(ada, [conversation("c1", "Adda here")], actor=Actor.system())
        restriction(ada, cleo)
        request = rectification(ada, cleo, Conversations=values(("message", "Adda", "Ada")))
        step = step_at(request, "Conversations")
        assert (step.state, step.reason, said_in(ada)) == ("blocked", "restricted", ["Adda here"])
