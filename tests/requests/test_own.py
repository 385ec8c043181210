"""Nobody on the staff acts on a request about themselves: every service refuses, whoever calls it; a colleague may."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.records import services as records
from apps.records.errors import OwnData
from apps.records.models import LegalHold, Subject
from apps.records.subjects import create_subject
from apps.requests import services
from apps.requests.errors import OwnRequest, RequestError
from apps.requests.models import PrivacyRequest, Status
from tests.requests.conftest import as_officer, as_person, filed, staff

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
Act = Callable[[PrivacyRequest, User, Actor], Any]
ON = date(2999, 1, 1)

ACTS: dict[str, Act] = {
    "approve_request": lambda r, u, a: services.approve_request(r, actor=a, officer=u),
    "assign_request": lambda r, u, a: services.assign_request(r, u, actor=a),
    "announce_lift": lambda r, u, a: services.announce_lift(r, on=ON, text="It ends.", actor=a),
    "confirm_identity": lambda r, u, a: services.confirm_identity(r, level="reasonable", methods=["call"], actor=a),
    "confirm_noted": lambda r, u, a: services.confirm_noted(r, "phone", "1", officer=u, actor=a),
    "confirm_task": lambda r, u, a: services.confirm_task(_task(r), note="Done.", item_count=0, officer=u, actor=a),
    "drop_noted": lambda r, u, a: services.drop_noted(r, "phone", "1", actor=a),
    "extend_deadline": lambda r, u, a: services.extend_deadline(r, text="Much to do.", actor=a),
    "note_corrections": lambda r, u, a: services.note_corrections(r, {}, actor=a),
    "note_identity": lambda r, u, a: services.note_identity(r, "phone", "1", officer=u, actor=a),
    "refuse_request": lambda r, u, a: services.refuse_request(r, ground="excessive", text="Too many.", actor=a),
    "retry_step": lambda r, u, a: services.retry_step(_step(r), actor=a),
    "send_message": lambda r, u, a: services.send_message(r, "Hello.", actor=a),
    "waive_archive_first": lambda r, u, a: services.waive_archive_first(r, actor=a),
    "withdraw_request": lambda r, u, a: services.withdraw_request(r, actor=a),
}
OTHERS = {  # nobody decides anything by them: what the person gives or files, time's work, and the note of a look
    "add_evidence", "confirm_intake", "lapse_request", "look_at_request", "open_intake", "open_request",
}  # fmt: skip


def _task(request: PrivacyRequest) -> Any:
    return SimpleNamespace(pk=0, step_id=None, request=request)


def _step(request: PrivacyRequest) -> Any:
    return SimpleNamespace(pk=None, request=request)


@pytest.fixture
def cleos(cleo: User) -> Subject:
    return create_subject(cleo, emails=[cleo.email])


def test_every_service_that_an_officer_calls_is_tried_here() -> None:
    named = {name: getattr(services, name) for name in services.__all__}
    taking = {
        name for name, one in named.items() if inspect.isfunction(one) and "actor" in inspect.signature(one).parameters
    }
    assert taking == set(ACTS) | (OTHERS & taking)


@pytest.mark.parametrize("name", ACTS)
def test_on_ones_own_request_every_service_refuses(name: str, cleo: User, cleos: Subject) -> None:
    request = filed(cleos, "erasure")
    entries = Entry.objects.count()
    with pytest.raises(OwnRequest):
        ACTS[name](request, cleo, as_officer(cleo))
    request.refresh_from_db()
    assert (request.status, Entry.objects.count()) == (Status.IN_REVIEW, entries)


@pytest.mark.parametrize("name", ACTS)
def test_a_colleague_is_not_refused_for_that(name: str, cleos: Subject) -> None:
    colleague = staff("carl@example.org", "compliance")
    request = filed(cleos, "erasure")
    try:
        ACTS[name](request, colleague, as_officer(colleague))
    except OwnRequest:
        pytest.fail("it is not theirs")
    except (RequestError, AttributeError):
        pass  # not every act fits this request


def test_the_handle_of_an_earlier_year_is_theirs_too(cleo: User, cleos: Subject) -> None:
    request = filed(cleos, "erasure")
    before = as_officer(cleo)
    cleo.handles.update(year=2001)
    assert as_officer(cleo) != before
    for actor in (before, as_officer(cleo)):
        with pytest.raises(OwnRequest):
            services.refuse_request(request, ground="excessive", text="Too many.", actor=actor)


def test_as_the_person_one_withdraws_and_writes(cleos: Subject) -> None:
    request = filed(cleos, "erasure")
    services.send_message(request, "Please hurry.", actor=as_person(cleos))
    services.withdraw_request(request, actor=as_person(cleos))
    assert request.status == Status.WITHDRAWN


def test_a_hold_on_ones_own_is_neither_placed_nor_lifted_by_oneself(cleo: User, cleos: Subject) -> None:
    until = date.today() + timedelta(days=9)
    with pytest.raises(OwnData):
        records.place_hold(cleos, basis="claim", until=until, actor=as_officer(cleo))
    hold = records.place_hold(
        cleos, basis="claim", until=until, actor=as_officer(staff("carl@example.org", "compliance"))
    )
    with pytest.raises(OwnData):
        records.lift_hold(hold, actor=as_officer(cleo))
    assert LegalHold.objects.get() == hold
