"""Places that only a person can reach: a task with a day, what was done, and how the receipt says it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.models import Letter
from apps.records import objects
from apps.requests import selectors, services, task_files, upkeep
from apps.requests.dates import today
from apps.requests.documents import Document
from apps.requests.errors import EmptyText, WrongStatus
from apps.requests.models import PrivacyRequest, Status, Task
from tests.requests.conftest import approved, as_officer, events, filed, run, states, step_at, wake
from tests.requests.test_access import archives, opened
from tests.requests.test_erasure import body, result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def filing_room(own_places) -> Location:
    config = {
        "person": "Ms Green", "email": "green@example.org", "days": 14, "instructions": "Second floor.", "horizon_days": 7,
    }  # fmt: skip
    location = Location(kind="hand", name="Filing room", country="Ireland")
    return save_location(location, config=config, actor=Actor.system())


def confirm(request, cleo, **values):
    task = Task.objects.get(request=request)
    values = dict[str, Any]({"note": "Shredded.", "item_count": 2}) | values
    services.confirm_task(task, officer=cleo, actor=as_officer(cleo), **values)
    return run(request)


@pytest.mark.slow
def test_an_erasure_waits_for_the_person_and_the_receipt_says_who_looked(ada, cleo, filing_room):
    request = run(approved(ada))
    assert (request.status, states(request)["Filing room"]) == (Status.PARTLY_COMPLETED, "needs_person")
    assert step_at(request, "Filing room").reason == "by_hand"
    task = Task.objects.get(request=request)
    assert task.due_on == today() + timedelta(days=14)
    first = result(request, "Filing room")
    assert (first["outcome"], first["confirmed_by_person_at"], first["remaining"]) == ("needs_person", None, None)
    assert Letter.objects.filter(owner=task.pk).count() == 1

    task_files.add_task_file(task, Document("photo.jpg", "image/jpeg"), [b"a photograph"], is_proof=True)
    confirm(request, cleo)
    assert request.status == Status.COMPLETED
    said = result(request, "Filing room")
    assert (said["outcome"], said["erased"], said["looked_again_at"]) == ("erased", 2, None)
    assert said["confirmed_by_person_at"]
    assert body(request)["is_final"] is True
    assert "step.confirmed" in events(request)
    assert [receipt.is_final for receipt in selectors.receipts_of(request)] == [True, False]


@pytest.mark.slow
def test_files_that_were_added_come_as_a_second_download_and_proof_does_not(ada, cleo, filing_room):
    request = run(filed(ada))
    assert request.status == Status.PARTLY_COMPLETED
    task = Task.objects.get(request=request)
    for number in range(3):
        task_files.add_task_file(
            task, Document(f"Ada {number}.pdf", "application/pdf"), [b"page %d" % number], is_proof=False
        )
    task_files.add_task_file(task, Document("proof.txt", "text/plain"), [b"the proof"], is_proof=True)
    confirm(request, cleo, note="Copied.", item_count=3)
    assert request.status == Status.COMPLETED
    second = opened(next(one for one in archives(request) if one.number == 2))
    found = {name: second.read(name) for name in second.namelist() if "/hand-" in name}
    assert sorted(content for name, content in found.items() if name.endswith(".pdf")) == [
        b"page 0",
        b"page 1",
        b"page 2",
    ]
    assert not any(b"the proof" in content for content in found.values())
    assert not any("Ada" in name for name in found)


@pytest.mark.slow
def test_what_has_to_stay_is_blocked_until_its_day_and_then_asked_for_again(ada, cleo, filing_room):
    request = run(approved(ada))
    until = today() + timedelta(days=400)
    confirm(request, cleo, stays_until=until, note="The tax office wants it.")
    step = step_at(request, "Filing room")
    assert (step.state, step.reason, step.until) == ("blocked", "retention_policy", until)
    first, second = body(request, 1), body(request, 2)
    assert [one["is_final"] for one in (first, second)] == [False, False]
    places = [{row["place"]: row for row in one["places"]}["Filing room"] for one in (first, second)]
    assert [row["until"] for row in places] == [None, until.isoformat()], "a day is news: it gets a receipt"
    assert (run(request).status, request.receipts.count()) == (Status.PARTLY_COMPLETED, 2)
    Task.objects.filter(request=request).update(stays_until=today())  # the day has come
    wake(request)
    run(request)
    assert states(request)["Filing room"] == "needs_person"
    assert Task.objects.get(request=request).confirmed_at is None
    confirm(request, cleo)
    assert request.status == Status.COMPLETED


@pytest.mark.slow
def test_whoever_does_it_is_reminded_before_the_day_and_weekly_when_it_has_passed(ada, filing_room):
    request = run(approved(ada))
    task = Task.objects.get(request=request)
    letters = Letter.objects.filter(owner=task.pk)
    assert (upkeep.remind_of_tasks(), letters.count()) == (0, 1)
    Task.objects.update(due_on=today() + timedelta(days=3))
    assert (upkeep.remind_of_tasks(), upkeep.remind_of_tasks(), letters.count()) == (1, 0, 2)
    Task.objects.update(due_on=today() - timedelta(days=1), reminded_at=timezone.now() - timedelta(days=7, minutes=1))
    assert (upkeep.remind_of_tasks(), upkeep.remind_of_tasks(), letters.count()) == (1, 0, 3)


@pytest.mark.slow
def test_it_is_confirmed_once_with_a_note_and_not_after_the_end(ada, cleo, filing_room):
    request = run(approved(ada))
    with pytest.raises(EmptyText):
        confirm(request, cleo, note="  ")
    task = Task.objects.get(request=request)
    confirm(request, cleo)
    with pytest.raises(WrongStatus):
        services.confirm_task(task, note="again", item_count=1, officer=cleo, actor=as_officer(cleo))


@pytest.mark.slow
def test_the_files_go_with_the_record_of_the_request(ada, cleo, filing_room):
    request = run(approved(ada))
    task = Task.objects.get(request=request)
    row = task_files.add_task_file(task, Document("photo.jpg", "image/jpeg"), [b"a photograph"], is_proof=True)
    assert b"".join(task_files.read_task_file(row)) == b"a photograph"
    assert objects.is_there(row.object_name)
    confirm(request, cleo)
    PrivacyRequest.objects.filter(pk=request.pk).update(retain_until=today() - timedelta(days=1))
    assert upkeep.end_retentions() == 1
    assert not objects.is_there(row.object_name)
    assert not Task.objects.filter(request=request).exists()
    assert not Letter.objects.filter(owner=task.pk).exists()


@pytest.mark.slow
def test_the_nightly_work_reminds_them(ada, filing_room):
    request = run(approved(ada))
    assert upkeep.nightly()["helpers reminded"] == 0
    Task.objects.filter(request=request).update(due_on=today() + timedelta(days=3))
    assert upkeep.nightly()["helpers reminded"] == 1
