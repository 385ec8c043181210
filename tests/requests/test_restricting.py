"""Restriction, end to end: what stands still, what goes on, places added since, and how it is lifted."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records import services as records
from apps.records import subjects
from apps.records.errors import RecordingRestricted
from apps.records.models import Subject
from apps.records.services.restricting import release_subject
from apps.requests import selectors, services, upkeep
from apps.requests.dates import today
from apps.requests.errors import (
    EmptyText,
    OtherRestriction,
    TooSoon,
    WrongStatus,
)
from apps.requests.models import PrivacyRequest, Status
from apps.requests.services import lifting
from apps.requests.services.lifting import lift_due_restrictions
from tests.records.conftest import conversation
from tests.requests.amending import (
    OWN,
    RESTING,
    confirm,
    rectification,
    restricted_since,
    restriction,
    said_in,
    values,
)
from tests.requests.conftest import (
    ADA,
    BEN,
    add_place,
    as_officer,
    events,
    filed,
    run,
    states,
    step_at,
    wake,
)
from tests.requests.fakes import ChangingPlace
from tests.requests.test_erasure import body, result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


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
