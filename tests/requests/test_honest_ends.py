"""Ends that say what they are: done, blocked until a day, a person is needed; and then on by itself, to a final receipt."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core import mail as outbox
from django.db import connections

from apps.mail.services import send_due_letters
from apps.portal import story
from apps.requests import engine, selectors
from apps.requests.models import PrivacyRequest, Status
from apps.requests.staff.plan import step_lines
from tests.clock import Clock
from tests.requests.conftest import add_place, approved, filed, run, states, step_at, wake
from tests.requests.fakes import FakeConnector
from tests.requests.test_erasure import body, result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def letters_sent() -> list[str]:
    send_due_letters()
    texts = [f"{message.subject}\n{message.body}" for message in outbox.outbox]
    outbox.outbox.clear()
    return texts


@pytest.mark.slow
def test_a_place_that_keeps_something_until_a_day_lets_go_on_that_day_and_the_final_receipt_comes_by_itself(
    ada, ben, place, clock
):
    place.put("ada@example.org", 3)
    place.put("ben@example.org", 1)
    until = (clock.at + timedelta(days=40)).date()
    place.switch(keeps_until=until.isoformat())
    request = approved(ada)
    letters_sent()
    run(request)
    assert request.status == Status.PARTLY_COMPLETED
    kept = result(request, "Support desk")
    assert (kept["outcome"], kept["reason"], kept["until"], kept["remaining"]) == (
        "blocked", "retention_policy", until.isoformat(), 1,
    )  # fmt: skip
    [first] = letters_sent()
    assert "Support desk: Kept by a retention policy of the place" in first
    assert request.ended_at is None

    for days in (1, 20, 39):
        clock.at = datetime.combine(until - timedelta(days=40 - days), datetime.min.time(), UTC)
        assert run(request).status == Status.PARTLY_COMPLETED
    assert letters_sent() == []
    assert len(selectors.receipts_of(request)) == 1

    place.switch(keeps_until=None)  # the policy ends, and nobody does anything here
    clock.at = datetime.combine(until, datetime.min.time(), UTC) + timedelta(minutes=1)
    assert engine.reconcile() == 1
    assert run(request).status == Status.COMPLETED
    final = body(request)
    assert (final["number"], final["is_final"]) == (2, True)
    assert (result(request, "Support desk")["erased"], result(request, "Support desk")["remaining"]) == (3, 0)
    assert body(request, 1)["is_final"] is False
    [last] = letters_sent()
    assert "still keeps" not in last
    assert place.items_of("ada@example.org") == []
    assert len(place.items_of("ben@example.org")) == 1
    assert run(request).status == Status.COMPLETED
    assert len(selectors.receipts_of(request)) == 2, "a final receipt is the last one"


@pytest.mark.slow
def test_a_place_that_still_keeps_it_on_its_day_is_asked_again_and_nobody_is_written_to_meanwhile(ada, place, clock):
    place.put("ada@example.org", 1)
    until = (clock.at + timedelta(days=10)).date()
    place.switch(keeps_until=until.isoformat())
    request = approved(ada)
    run(request)
    letters_sent()
    later = until + timedelta(days=5)
    place.switch(keeps_until=later.isoformat())
    clock.at = datetime.combine(until, datetime.min.time(), UTC) + timedelta(minutes=1)
    run(request)
    assert request.status == Status.PARTLY_COMPLETED
    assert step_at(request, "Support desk").until == later
    assert not any("is ready" in text and "still keeps" not in text for text in letters_sent()), "no word of an end"
    place.switch(keeps_until=None)
    clock.at = datetime.combine(later, datetime.min.time(), UTC) + timedelta(minutes=1)
    assert run(request).status == Status.COMPLETED
    assert body(request)["is_final"] is True


@pytest.mark.slow
def test_no_place_is_called_done_or_empty_before_it_was_looked_at_again(ada, place, tmp_path):
    """One that does not answer keeps the second look waiting, for a day; until then nobody knows what the others kept."""
    for name, switches in {"Stubborn": {"leaves": 99}, "Willing": {}}.items():
        other = add_place(tmp_path / name, name)
        other.put("ada@example.org", 1)
        other.switch(**switches)
    place.put("ada@example.org", 1)
    place.switch(unavailable=True)
    request = run(approved(ada))
    assert said_of(request, "Stubborn") == (
        "Erased, and looked at again",
        "Nothing was erased here so far. We look again before you get your receipt",
        "Nothing was erased here so far",
    )
    assert said_of(request, "Willing") == ("Erased, and looked at again", "1 item", "1 item")
    place.switch(unavailable=False)
    wake(request)
    run(request)
    assert said_of(request, "Stubborn")[0] == "A person looks at it"
    assert said_of(request, "Willing") == ("Done", "1 item", "1 item")


def said_of(request: PrivacyRequest, name: str) -> tuple[str, str, str]:
    """Return what the person reads of a place, and what staff read."""
    [seen] = [one for one in story.places_of(request) if one.name == name]
    [line] = [one for one in step_lines(request, may_retry=False) if one.place == name]
    return seen.words, seen.note, line.done


def test_each_kind_of_end_stands_beside_the_others_on_one_receipt(ada, place, tmp_path):
    place.put("ada@example.org", 2)
    ends_by_name: dict[str, dict[str, Any]] = {
        "Locked": {"blocked_until": "2031-01-03"},
        "Refusing": {"refused": True},
        "Stubborn": {"leaves": 99},
    }
    for name, switches in ends_by_name.items():  # fmt: skip
        other = add_place(tmp_path / name, name)
        other.put("ada@example.org", 2)
        other.switch(**switches)
    request = run(approved(ada))
    assert request.status == Status.PARTLY_COMPLETED
    ends = {
        name: (result(request, name)["outcome"], result(request, name)["reason"])
        for name in states(request)
        if name[0].isupper()
    }
    ends = {name: end for name, end in ends.items() if name in ("Support desk", "Locked", "Refusing", "Stubborn")}
    assert ends == {
        "Support desk": ("erased", None), "Locked": ("blocked", "object_lock"), "Refusing": ("needs_person", "refused"),
        "Stubborn": ("needs_person", "still_there"),
    }  # fmt: skip
    assert result(request, "Locked")["until"] == date(2031, 1, 3).isoformat()


@pytest.mark.thorough
def test_two_places_of_one_request_are_worked_at_side_by_side(ada, place, tmp_path, monkeypatch):
    """Each place waits until the other one is being read as well: one after the other would never end."""
    other = add_place(tmp_path / "other", "Other desk")
    for desk in (place, other):
        desk.put("ada@example.org", 2)
    both = threading.Barrier(2, timeout=60)
    export = FakeConnector.export

    def meeting(self: FakeConnector, *values: Any) -> Any:
        both.wait()
        return export(self, *values)

    monkeypatch.setattr(FakeConnector, "export", meeting)
    request = filed(ada)
    workers = [threading.Thread(target=_work, args=(request,)) for _number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert not both.broken
    monkeypatch.undo()
    assert run(request).status == Status.COMPLETED


def _work(request: PrivacyRequest) -> None:
    try:
        engine.run_request(request.pk)
    finally:
        connections.close_all()
