"""Tasks by hand at staff's desks: who, until when, whom it is about, what was done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.requests import task_files
from apps.requests.dates import today
from apps.requests.models import Status, Task
from apps.requests.receipts import _confirmed_at
from apps.requests.staff import plan
from tests.requests.conftest import approved, run, states
from tests.requests.test_by_hand import filing_room  # noqa: F401
from tests.staff.conftest import LIST, Desk, page, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def waiting(ada, filing_room):  # noqa: F811
    return run(approved(ada))


@pytest.mark.slow
def test_the_open_tasks_say_who_and_until_when_and_which_are_late(at_cleos, waiting):
    text = at_cleos.read(f"{LIST}tasks/")
    assert "Filing room" in text
    assert "Ms Green" in text
    assert "in 14 days" in text
    Task.objects.update(due_on=today() - timedelta(days=2))
    text = at_cleos.read(f"{LIST}tasks/")
    assert "2 days late" in text


def test_a_task_is_confirmed_with_a_note_and_proof_and_the_erasure_ends(at_cleos, waiting):
    task = Task.objects.get(request=waiting)
    there = f"{page(waiting)}tasks/{task.pk}/"
    asked = at_cleos.get(there, follow=True)
    assert "Why do you open request" in text_of(asked), "the purpose of the look comes first"
    sent = {"purpose": "carry_out", "next": asked.context["next"]}
    assert at_cleos.post(f"{page(waiting)}open/", sent)["location"] == there
    assert "Task by hand" in at_cleos.look(waiting)
    text = at_cleos.read(there)
    assert "Second floor." in text
    assert "ada@example.org" in text
    wrong = at_cleos.post(there, {"note": "x", "item_count": "1", "stays_until": today().isoformat()})
    assert "still to come" in text_of(wrong)
    proof = SimpleUploadedFile("Folder of Ada.jpg", b"a photograph", content_type="image/jpeg")
    at_cleos.post(there, {"note": "Shredded on the third floor.", "item_count": "2", "proof": [proof]})
    run(waiting)
    assert (waiting.status, states(waiting)["Filing room"]) == (Status.COMPLETED, "done")
    text = at_cleos.read(there)
    assert "Shredded on the third floor." in text
    row = task.files.get()
    given = at_cleos.get(f"{there}files/{row.pk}/")
    assert "Ada" not in given["content-disposition"]
    assert "No task is open" in at_cleos.read(f"{LIST}tasks/")


@pytest.mark.slow
def test_a_form_that_is_sent_twice_at_once_keeps_its_files_once(at_cleos, waiting, cleo, monkeypatch):
    task = Task.objects.get(request=waiting)
    there = f"{page(waiting)}tasks/{task.pk}/"
    at_cleos.look(waiting)
    other = Desk(cleo)
    other.look(waiting)
    take, sent = task_files.take_task_file, list[int]()

    def proof() -> dict:
        file = SimpleUploadedFile("p.jpg", b"a photograph", content_type="image/jpeg")
        return {"note": "Shredded.", "item_count": "1", "proof": [file]}

    def meanwhile(*args, **options):
        row = take(*args, **options)
        if not sent:  # before this one is confirmed, the same form comes in once more
            sent.append(1)
            assert other.post(there, proof()).status_code == 302
        return row

    monkeypatch.setattr(task_files, "take_task_file", meanwhile)
    assert "Look at it again" in text_of(at_cleos.post(there, proof()))
    assert [row.stored for row in task.files.all()] == [True]
    entry = Entry.objects.get(event="step.confirmed")
    assert details_of(entry)["documents"] == 1


@pytest.mark.slow
def test_the_plan_asks_no_more_questions_for_more_places(at_cleos, ada, own_places):
    def add_room(number: int) -> None:
        config = {"person": "Ms Green", "email": "green@example.org", "days": 14, "instructions": "x"}
        save_location(Location(kind="hand", name=f"Room {number}"), config=config, actor=Actor.system())

    def asked(request) -> int:
        with CaptureQueriesContext(connection) as queries:
            plan.step_lines(request, may_retry=True)
            for step in request.steps.select_related("location", "task").exclude(location=None):
                _confirmed_at(step)
        return len(queries)

    add_room(1)
    first = run(approved(ada))
    few = asked(first)
    task = Task.objects.get(request=first)
    for number in range(2, 7):
        location = Location(kind="hand", name=f"Room {number}")
        location.save()
        step = first.steps.create(phase="purge", location=location, order=9, state="needs_person")
        Task.objects.create(request=first, step=step, due_on=task.due_on, sealed=task.sealed)
    assert asked(first) == few


@pytest.mark.slow
def test_whoever_has_no_right_sees_neither_list_nor_task(waiting, mallory):
    task = Task.objects.get(request=waiting)
    for client in (Desk(mallory), Desk()):
        for path in (f"{LIST}tasks/", f"{page(waiting)}tasks/{task.pk}/"):
            assert client.get(path).status_code in (302, 403)
            assert b"Ms Green" not in client.get(path).content
        client.post(f"{page(waiting)}tasks/{task.pk}/", {"note": "done", "item_count": "1"})
    task.refresh_from_db()
    assert task.confirmed_at is None


@pytest.mark.slow
def test_the_plan_says_beforehand_that_a_person_does_it(at_cleos, ada, filing_room):  # noqa: F811
    from tests.requests.conftest import filed

    request = filed(ada, "erasure")
    at_cleos.look(request)
    text = at_cleos.read(f"{page(request)}?everywhere=1")
    assert "A person does it by hand" in text
    assert "Not known yet: a person looks there." in text
    line = text.split("Filing room")[1].split("</tr>")[0]
    assert "Nothing is held here" not in line
    assert "Nothing is held here" in text
    assert "Not every place could be counted" in at_cleos.read(f"{page(request)}approve/")


@pytest.mark.slow
def test_hostile_files_are_named_harmlessly_and_never_shown(at_cleos, waiting):
    task = Task.objects.get(request=waiting)
    there = f"{page(waiting)}tasks/{task.pk}/"
    at_cleos.look(waiting)
    page_file = SimpleUploadedFile(
        "<script>x.html\u202egpj.exe", b"<script>alert(1)</script>", content_type="text/html"
    )
    at_cleos.post(there, {"note": "<script>alert(2)</script>", "item_count": "1", "proof": [page_file]})
    text = at_cleos.read(there)
    assert "\u202e" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;x.htmlgpj.exe" in text
    given = at_cleos.get(f"{there}files/{task.files.get().pk}/")
    assert given["content-type"] == "application/octet-stream"
    assert given["content-disposition"].startswith("attachment")
    assert "sandbox" in given["content-security-policy"]
