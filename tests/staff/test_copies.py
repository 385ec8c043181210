"""Rules for copies in the staff site: tried, saved, watched, stopped and ended; restored from; others may not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.locations.errors import Blocked
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import save_location
from apps.locations.stores.files import FilesStore
from apps.records import services, tasks
from apps.records.copies import running
from apps.records.copies.policies import add_policy
from apps.records.models import Conversation, Copy, CopyPolicy
from apps.requests.models import Step
from tests.records.conftest import by, conversation
from tests.requests.conftest import approved, run, step_at, wake
from tests.staff.conftest import Desk, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
PAGE = "/admin/records/copypolicy/"


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "poke_copies", lambda policy_id: None)


@pytest.fixture
def folder(own_places: None, tmp_path: Path) -> Location:
    (tmp_path / "copies").mkdir()
    config = {"root": str(tmp_path / "copies"), "templates": ["people/{subject_id}/"]}
    return save_location(Location(kind="files", name="Disk"), config=config, actor=Actor.system())


def values(folder: Location, **more: Any) -> dict[str, Any]:
    base = {"name": "Nightly copies", "country": "Ireland", "destination": str(folder.pk), "target": "habeas_copies"}
    return base | {"form": "sealed", "every": "daily", "check_days": "7"} | more


def give(subject: Any, *names: str) -> None:
    services.store_conversations(subject, [conversation(name, "a", "b") for name in names], actor=by(subject))


@pytest.mark.slow
def test_a_rule_is_tried_and_saved_and_its_copies_are_watched(at_roots, folder, ada):
    give(ada, "c1", "c2")
    assert "No copies are made" in at_roots.read(PAGE)
    assert "not a backup of the keys" in at_roots.read(PAGE)
    text = text_of(at_roots.post(f"{PAGE}add/", values(folder, **{"try": "1"})))
    assert "Copies can be written, read and deleted there." in text
    assert not CopyPolicy.objects.exists()
    at_roots.post(f"{PAGE}add/", values(folder))
    policy = CopyPolicy.objects.get()
    running.run_policy(policy.pk)
    text = at_roots.read(f"{PAGE}{policy.pk}/")
    assert "written: 2" in text
    assert "Nightly copies" in at_roots.read(PAGE)
    assert "Nightly copies" in at_roots.read("/admin/locations/location/")
    place = Location.objects.get(kind="copies")
    assert (place.is_reachable, place.horizon_days) == (True, 0)  # the trial counts as its first check
    assert at_roots.get(f"/admin/locations/location/{place.pk}/change/").status_code == 200
    at_roots.post(f"{PAGE}{policy.pk}/check/")
    running.run_policy(policy.pk)
    assert "as they should be: 2" in at_roots.read(f"{PAGE}{policy.pk}/")
    at_roots.post(f"{PAGE}{policy.pk}/times/", {"every": "hourly", "check_days": "0"})
    policy.refresh_from_db()
    assert (policy.every, policy.check_days, policy.next_check_at) == ("hourly", 0, None)
    at_roots.post(f"{PAGE}{policy.pk}/end/")
    running.run_policy(policy.pk)
    assert not Copy.objects.exists()
    assert Entry.objects.filter(event="copy_policy.added", role="administrator").count() == 1


def test_copies_are_where_they_go_and_stay_there_for_the_reason_that_is_recorded_of_it(folder):
    Location.objects.filter(pk=folder.pk).update(country="Iceland", horizon_reason="The board, 1 November")
    folder.refresh_from_db()
    rule = {"destination": folder, "form": "sealed", "actor": Actor.system()}
    places = [
        add_policy(name=f"To {name}", country=name, target=f"to_{name.lower()}", **rule).location
        for name in ("", "Norway")
    ]
    assert [(place.country, place.horizon_reason) for place in places] == [
        ("Iceland", "The board, 1 November"), ("Norway", "The board, 1 November"),
    ]  # fmt: skip


def test_a_place_that_locks_what_it_takes_is_for_sealed_copies_only(at_roots, folder, monkeypatch):
    def delete(store: FilesStore, names: Any) -> None:
        raise Blocked(Reason.OBJECT_LOCK, None, dict.fromkeys(names))

    monkeypatch.setattr(FilesStore, "delete", delete)
    readable = values(folder, form="json", understood="on")
    text = text_of(at_roots.post(f"{PAGE}add/", readable, follow=False))
    assert "Readable copies have to go with what they are of" in text
    assert not CopyPolicy.objects.exists()
    text = text_of(at_roots.post(f"{PAGE}add/", values(folder, **{"try": "1"})))
    assert "What is deleted stays until its lock or hold ends. Sealed ones are unreadable" in text
    at_roots.post(f"{PAGE}add/", values(folder))
    policy = CopyPolicy.objects.get()
    Copy.objects.create(
        policy=policy, subject_id=uuid4(), conversation_id=uuid4(), key_id=uuid4(), revision=1, object_name="a", mac=b"",
        doomed_at=timezone.now(), held_until=timezone.now().date() + timedelta(days=3),
    )  # fmt: skip
    text = at_roots.read(f"{PAGE}{policy.pk}/")
    assert "1 of them the place may not let go before" in text
    assert "tried again every 10 minutes" not in text


def test_readable_copies_need_to_be_understood(at_roots, folder):
    answer = at_roots.post(f"{PAGE}add/", values(folder, form="txt"))
    assert answer.status_code == 400
    assert "Readable copies are not protected" in text_of(answer)
    at_roots.post(f"{PAGE}add/", values(folder, form="txt", understood="on"))
    policy = CopyPolicy.objects.get()
    assert "readable by anybody" in at_roots.read(f"{PAGE}{policy.pk}/")
    assert at_roots.post(f"{PAGE}{policy.pk}/restore/", {"person": ""}).status_code == 400


def readable(desk: Desk, folder: Location, path: Path) -> CopyPolicy:
    """Have somebody propose readable copies, and a worker come by."""
    desk.post(f"{PAGE}add/", values(folder, form="txt", understood="on"))
    policy = CopyPolicy.objects.get()
    running.run_policy(policy.pk)
    assert files_in(path) == 0
    return policy


def files_in(path: Path) -> int:
    return sum(1 for one in (path / "copies").rglob("*") if one.is_file())


def worked(policy: CopyPolicy) -> CopyPolicy:
    running.run_policy(policy.pk)
    policy.refresh_from_db()
    return policy


def test_readable_copies_take_two_people(at_roots, at_dans, folder, ada, tmp_path):
    give(ada, "c1")
    policy = readable(at_roots, folder, tmp_path)
    page = f"{PAGE}{policy.pk}/"
    assert "before another person has agreed" in at_roots.read(page)
    at_roots.post(f"{page}approve/")
    at_roots.post(f"{page}copy/")
    assert not worked(policy).is_active
    assert files_in(tmp_path) == 0
    assert "Agree: write readable copies there" in at_dans.read(page)
    at_dans.post(f"{page}approve/")
    assert worked(policy).is_active
    assert files_in(tmp_path) == 1
    assert Entry.objects.filter(event="copy_policy.approved", role="approver").count() == 1
    at_roots.post(f"{page}stop/")
    at_roots.post(f"{page}start/")  # alone nobody lets them go on
    assert not worked(policy).is_active
    assert "You proposed this" in at_roots.read(page)
    at_roots.post(f"{page}stop/")  # takes it back
    at_dans.post(f"{page}approve/")
    assert not worked(policy).is_active


def test_a_proposal_of_somebody_who_has_left_counts_for_nothing(at_roots, at_dans, root, folder, tmp_path):
    policy = readable(at_roots, folder, tmp_path)
    root.groups.clear()
    at_dans.post(f"{PAGE}{policy.pk}/approve/")
    assert not worked(policy).is_active
    assert policy.proposed_by is None


def test_readable_copies_stop_when_their_place_becomes_another(at_roots, at_dans, folder, ada, tmp_path):
    policy = readable(at_roots, folder, tmp_path)
    at_dans.post(f"{PAGE}{policy.pk}/approve/")
    (tmp_path / "elsewhere").mkdir()
    same = {"root": str(tmp_path / "copies"), "templates": ["people/{subject_id}/"]}
    save_location(folder, config=same, actor=Actor.system())
    assert worked(policy).is_active
    save_location(folder, config=same | {"root": str(tmp_path / "elsewhere")}, actor=Actor.system())
    give(ada, "c1")
    CopyPolicy.objects.update(next_copy_at=timezone.now(), lease_until=None)
    assert not worked(policy).is_active
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_yes_counts_for_the_place_as_it_was_proposed(at_roots, at_dans, folder, ada, tmp_path):
    give(ada, "c1")
    policy = readable(at_roots, folder, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    there = {"root": str(tmp_path / "elsewhere"), "templates": ["people/{subject_id}/"]}
    save_location(folder, config=there, actor=Actor.system())
    at_dans.post(f"{PAGE}{policy.pk}/approve/")
    assert not worked(policy).is_active
    assert (policy.proposed_by, files_in(tmp_path)) == (None, 0)
    at_roots.post(f"{PAGE}{policy.pk}/start/")  # the control: proposed as it is now
    at_dans.post(f"{PAGE}{policy.pk}/approve/")
    assert worked(policy).is_active


def test_the_database_knows_no_readable_copies_of_one_person(folder):
    policy = add_policy(name="C", country="", destination=folder, target="c", form="csv", actor=Actor.system())
    with pytest.raises(IntegrityError), transaction.atomic():
        CopyPolicy.objects.update(is_active=True)
    one = uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        CopyPolicy.objects.update(is_active=True, proposed_by=one, approved_by=one)
    CopyPolicy.objects.update(is_active=True, proposed_by=one, approved_by=uuid4())
    assert CopyPolicy.objects.get(pk=policy.pk).is_active


def test_what_could_not_work_is_not_saved(at_roots, folder, tmp_path):
    for wrong in ({"target": "../x"}, {"target": "A B"}, {"name": "Disk"}, {"destination": "nothing"}):
        assert at_roots.post(f"{PAGE}add/", values(folder, **wrong)).status_code == 400, wrong
    (tmp_path / "copies").rmdir()
    assert "is the disk mounted?" in text_of(at_roots.post(f"{PAGE}add/", values(folder)))
    assert not CopyPolicy.objects.exists()


@pytest.mark.slow
def test_one_person_is_restored_from_the_page(at_roots, folder, ada, ben, monkeypatch):
    give(ada, "c1")
    give(ben, "c1")
    policy = add_policy(name="C", country="", destination=folder, target="c", actor=Actor.system())
    running.run_policy(policy.pk)
    Conversation.objects.all().delete()
    sent: list[Any] = []
    monkeypatch.setattr(tasks.restore_copies, "apply_async", lambda args, **options: sent.append(args))
    assert at_roots.post(f"{PAGE}{policy.pk}/restore/", {"person": "nobody@example.org"}).status_code == 400
    at_roots.post(f"{PAGE}{policy.pk}/restore/", {"person": "ada@example.org"})
    assert sent == [[str(policy.pk), str(ada.pk)]]
    tasks.restore_copies(*sent[0])
    assert [row.subject_id for row in Conversation.objects.all()] == [ada.pk]
    assert "restored: 1" in at_roots.read(f"{PAGE}{policy.pk}/")


@pytest.mark.parametrize("who", ["at_cleos", "at_dans"])
def test_officers_have_no_part_in_it(who, request, folder):
    policy = add_policy(name="C", country="", destination=folder, target="c", actor=Actor.system())
    desk = request.getfixturevalue(who)
    looks = 200 if who == "at_dans" else 403  # approvers agree to readable ones, so they see the rules
    for path, status in ((PAGE, looks), (f"{PAGE}add/", 403), (f"{PAGE}{policy.pk}/", looks)):
        assert desk.get(path).status_code == status
    for act in ("end", "restore", "copy", "start", "stop", "times"):
        assert desk.post(f"{PAGE}{policy.pk}/{act}/").status_code == 403
    policy.refresh_from_db()
    assert policy.is_active


@pytest.mark.slow
def test_copies_are_a_step_of_every_erasure_and_one_out_of_reach_is_said(folder, ada, ben, tmp_path):
    give(ada, "c1", "c2")
    give(ben, "c1")
    policy = add_policy(name="Copies on a disk", country="", destination=folder, target="c", actor=Actor.system())
    running.run_policy(policy.pk)
    (tmp_path / "copies").rename(tmp_path / "away")
    request = run(approved(ada, waives_archive_first=True))
    step = step_at(request, "Copies on a disk")
    assert (step.state, step.reason) == (Step.State.BLOCKED, "unreachable")
    (tmp_path / "away").rename(tmp_path / "copies")
    wake(request)
    request = run(request)
    step = step_at(request, "Copies on a disk")
    assert (step.state, step.done_count, step.remaining) == (Step.State.DONE, 2, 0)
    assert request.status == "completed"
    assert [copy.subject_id for copy in Copy.objects.all()] == [ben.pk]
    left = [path.name for path in (tmp_path / "copies").rglob("*") if path.is_file()]
    assert len(left) == 1


def test_readable_copies_and_their_end_take_a_fresh_sign_in(at_roots, folder):
    at_roots.post(f"{PAGE}add/", values(folder))
    policy = CopyPolicy.objects.get()
    at_roots.let_time_pass(3600)
    at_roots.read(f"{PAGE}{policy.pk}/")
    for part in ("add/", f"{policy.pk}/end/", f"{policy.pk}/restore/"):
        answer = at_roots.post(f"{PAGE}{part}", values(folder, name="Others", target="others"))
        assert (answer.status_code, "reauthenticate" in answer.headers["Location"]) == (302, True), part
    policy.refresh_from_db()
    assert policy.is_active
    assert CopyPolicy.objects.count() == 1
