"""What else staff do: write, extend, hold, withdraw, decide about a copy, try again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.locations.models import Location
from apps.mail.models import Letter
from apps.records.services import place_hold
from apps.records.subjects import freeze_subject
from apps.requests import selectors, services
from apps.requests.dates import today
from apps.requests.models import Clock, PrivacyRequest, Status, Step
from tests.requests.conftest import as_officer, events, filed
from tests.staff.conftest import Desk, page, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def write(desk: Desk, request: PrivacyRequest, part: str, **values: str):
    """Write a text, look at the letter, send it."""
    path = f"{page(request)}{part}"
    text = text_of(desk.post(path, values))
    seal = text.split('name="shown" value="')[1].split('"')[0]
    return text, desk.post(path, values | {"shown": seal}, follow=True)


@pytest.mark.slow
def test_a_message_is_shown_first_and_the_letter_does_not_hold_it(at_cleos, ada):
    request = filed(ada)
    at_cleos.look(request)
    letters = Letter.objects.filter(owner=request.pk).count()
    preview, answer = write(at_cleos, request, "message/", text="Which year?")
    letter = preview.split('<article class="letter"')[1].split("</article>")[0]
    assert "Which year?" not in letter
    assert "Which year?" in preview
    assert "Which year?" in text_of(answer)
    assert [message.text for message in selectors.messages_of(request)] == ["Which year?"]
    assert Letter.objects.filter(owner=request.pk).count() == letters + 1
    assert events(request)[-1] == "request.message_sent"


@pytest.mark.slow
def test_extending_names_the_new_day_before_and_after(at_cleos, ada):
    request = filed(ada)
    before = request.due_on
    at_cleos.look(request)
    preview, answer = write(at_cleos, request, "extend/", text="The desk is searching.")
    request.refresh_from_db()
    assert request.due_on > before + timedelta(days=50)
    assert str(request.due_on.year) in preview
    assert "The desk is searching." in preview
    assert "extended" in text_of(answer)
    assert at_cleos.get(f"{page(request)}extend/").status_code == 302  # once


@pytest.mark.slow
def test_what_is_late_cannot_be_extended(at_cleos, ada):
    request = filed(ada)
    at_cleos.look(request)
    assert at_cleos.get(f"{page(request)}extend/").status_code == 200
    PrivacyRequest.objects.filter(pk=request.pk).update(due_on=today() - timedelta(days=1))
    Clock.objects.filter(request=request).update(due_on=today() - timedelta(days=1))
    assert at_cleos.get(f"{page(request)}extend/").status_code == 302
    assert "1 day late" in at_cleos.read(page(request))


@pytest.mark.slow
def test_one_request_is_given_to_an_officer(at_cleos, dan, ada):
    request = filed(ada)
    at_cleos.look(request)
    answer = at_cleos.post(f"{page(request)}assign/", {"officer": str(dan.pk)}, follow=True)
    assert "Assigned to dan@example.org." in text_of(answer)
    at_cleos.post(f"{page(request)}assign/", {"officer": ""})
    request.refresh_from_db()
    assert request.assigned_to is None


class TestHold:
    @pytest.mark.slow
    def test_it_keeps_everything_until_it_is_lifted(self, at_cleos, ada):
        request = filed(ada, "erasure")
        at_cleos.look(request)
        values = {"basis": "GDPR Article 17(3)(e)", "until": (today() + timedelta(days=90)).isoformat()}
        text = text_of(at_cleos.post(f"{page(request)}hold/", values, follow=True))
        assert "Everything of this person is kept until" in text
        hold = ada.holds.get()
        at_cleos.post(f"{page(request)}hold/{hold.pk}/lift/")
        assert not ada.holds.exists()
        assert "Everything of this person is kept until" not in at_cleos.read(page(request))

    def test_a_day_that_has_passed_is_named(self, at_cleos, ada):
        request = filed(ada, "erasure")
        at_cleos.look(request)
        values = {"basis": "x", "until": (today() - timedelta(days=1)).isoformat()}
        assert "must be today or later" in text_of(at_cleos.post(f"{page(request)}hold/", values))
        assert not ada.holds.exists()

    @pytest.mark.slow
    def test_once_an_erasure_has_begun_it_comes_too_late(self, at_cleos, ada):
        request = filed(ada, "erasure")
        freeze_subject(ada.pk)
        at_cleos.look(request)
        values = {"basis": "x", "until": (today() + timedelta(days=1)).isoformat()}
        assert "it only goes forward" in text_of(at_cleos.post(f"{page(request)}hold/", values, follow=True))
        assert not ada.holds.exists()

    def test_somebody_elses_hold_is_not_there(self, at_cleos, cleo, ada, ben):
        hold = place_hold(ben, basis="x", until=today() + timedelta(days=9), actor=as_officer(cleo))
        request = filed(ada, "erasure")
        at_cleos.look(request)
        assert at_cleos.post(f"{page(request)}hold/{hold.pk}/lift/").status_code == 404
        assert ben.holds.exists()


def test_staff_withdraw_for_the_person(at_cleos, ada):
    request = filed(ada, "erasure")
    at_cleos.look(request)
    assert "Only when the person has asked for it" in at_cleos.read(f"{page(request)}withdraw/")
    at_cleos.post(f"{page(request)}withdraw/")
    request.refresh_from_db()
    assert request.status == Status.WITHDRAWN
    assert at_cleos.get(f"{page(request)}withdraw/").status_code == 302


@pytest.mark.slow
def test_staff_decide_that_an_erasure_does_not_wait_for_the_copy(at_cleos, cleo, ada):
    request = filed(ada, "erasure")
    services.approve_request(request, actor=as_officer(cleo), rule="command_line")
    at_cleos.look(request)
    assert at_cleos.get(f"{page(request)}go-on/").status_code == 302  # nothing waits
    request.steps.filter(phase="prepare").update(state="blocked", reason="waits_for_archive")
    assert "Erase without waiting for the copy" in at_cleos.read(page(request))
    at_cleos.post(f"{page(request)}go-on/")
    request.refresh_from_db()
    assert request.waives_archive_first
    assert events(request)[-1] == "request.copy_waived"


@pytest.mark.slow
def test_a_step_that_needs_a_person_is_tried_again(at_cleos, cleo, ada):
    request = filed(ada, "access")
    services.approve_request(request, actor=as_officer(cleo), officer=cleo)
    step = request.steps.get(location__kind="records")
    Step.objects.filter(pk=step.pk).update(state="needs_person", reason="refused", blocked_since=timezone.now())
    text = at_cleos.look(request)
    assert "A person is needed in 1 place: Conversations." in text
    assert "Try again: Conversations" in text
    at_cleos.post(f"{page(request)}steps/{step.pk}/retry/")
    step.refresh_from_db()
    assert step.state == Step.State.PENDING
    answer = at_cleos.post(f"{page(request)}steps/{step.pk}/retry/", follow=True)
    assert "not in a state any more" in text_of(answer)


def test_a_step_of_another_request_is_not_there(at_cleos, cleo, ada, ben):
    mine, other = filed(ada), filed(ben)
    services.approve_request(other, actor=as_officer(cleo), officer=cleo)
    step = other.steps.all()[0]
    at_cleos.look(mine)
    assert at_cleos.post(f"{page(mine)}steps/{step.pk}/retry/").status_code == 404


def test_a_record_that_is_erased_shows_its_dates_and_nothing_else(at_cleos, ada):
    request = filed(ada, note="my own words")
    PrivacyRequest.objects.filter(pk=request.pk).update(
        key_id=None, sealed=None, subject_id=None, status=Status.COMPLETED, ended_at=timezone.now()
    )
    text = at_cleos.look(request)
    assert "The record of this request is erased" in text
    assert "my own words" not in text
    assert at_cleos.get(f"{page(request)}message/").status_code == 302


def test_the_plan_of_a_switched_off_place_says_so(at_cleos, ada, place):
    Location.objects.filter(name="Support desk").update(is_enabled=False)
    request = filed(ada)
    at_cleos.look(request)
    assert "The place is switched off: a person has to look" in at_cleos.read(f"{page(request)}approve/")
