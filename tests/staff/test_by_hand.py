"""Tasks by hand at staff's desks: who, until when, whom it is about, what was done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.requests.dates import today
from apps.requests.models import Status, Task
from tests.requests.conftest import approved, run, states
from tests.requests.test_by_hand import filing_room  # noqa: F401
from tests.staff.conftest import LIST, Desk, page, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def waiting(ada, filing_room):  # noqa: F811
    return run(approved(ada))


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
    assert at_cleos.get(there).status_code == 302, "the purpose of the look comes first"
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


def test_whoever_has_no_right_sees_neither_list_nor_task(waiting, mallory):
    task = Task.objects.get(request=waiting)
    for client in (Desk(mallory), Desk()):
        for path in (f"{LIST}tasks/", f"{page(waiting)}tasks/{task.pk}/"):
            assert client.get(path).status_code in (302, 403)
            assert b"Ms Green" not in client.get(path).content
        client.post(f"{page(waiting)}tasks/{task.pk}/", {"note": "done", "item_count": "1"})
    task.refresh_from_db()
    assert task.confirmed_at is None


def test_the_plan_says_beforehand_that_a_person_does_it(at_cleos, ada, filing_room):  # noqa: F811
    from tests.requests.conftest import filed

    request = filed(ada, "erasure")
    at_cleos.look(request)
    assert "A person does it by hand" in at_cleos.read(f"{page(request)}?everywhere=1")
