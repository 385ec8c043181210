"""Access, end to end: collect from every place, publish one archive, the rest as a second one."""

import zipfile
from datetime import timedelta
from io import BytesIO

import pytest
from django.utils import timezone

from apps.archives.models import Archive
from apps.archives.selectors import read_range
from apps.mail.models import Letter
from apps.requests import selectors, services
from apps.requests.models import PrivacyRequest, Status, Step
from tests.requests.conftest import add_place, as_person, events, filed, run, states, step_at, taken, there, wake

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def opened(archive: Archive) -> zipfile.ZipFile:
    return zipfile.ZipFile(BytesIO(b"".join(read_range(archive, 0, there(archive.size)))))


def names(archive: Archive) -> list[str]:
    return opened(archive).namelist()


def archives(request: PrivacyRequest) -> list[Archive]:
    return list(selectors.archives_of(request))


def test_a_copy_holds_what_every_place_has_and_nothing_of_ben(ada, ben, place):
    place.put("ada@example.org", 3)
    place.put("ben@example.org", 2)
    request = run(filed(ada))
    assert request.status == Status.COMPLETED
    assert set(states(request).values()) == {"done"}
    [archive] = archives(request)
    archived = opened(archive)
    found = [name for name in archived.namelist() if "/fake-" in name]
    assert len(found) == 3
    assert {archived.read(name).decode() for name in found} == {f"item {n} of ada@example.org" for n in range(3)}
    assert {"index.html", "disclosure.html", "manifest.json", "places/account/requests.json"} <= set(
        archived.namelist()
    )
    assert archived.testzip() is None
    assert len(place.items_of("ben@example.org")) == 2
    assert request.ended_at is not None
    assert request.retain_until is not None
    assert not request.clocks.filter(met_at=None).exists()
    assert "request.completed" in events(request)
    assert Letter.objects.filter(owner=request.pk).count() == 2  # received, ready


@pytest.mark.slow
def test_a_place_that_does_not_answer_holds_up_the_archive_for_a_day_only(ada, place):
    place.put("ada@example.org", 2)
    place.switch(unavailable=True)
    request = run(filed(ada))
    assert (request.status, states(request)["Support desk"]) == (Status.RUNNING, "blocked")
    assert archives(request) == []
    wake(request)
    run(request)
    step = step_at(request, "Support desk")
    assert (step.reason, step.attempts) == ("unreachable", 0)  # the attempt is given back, however often
    assert events(request).count("step.blocked") == 1

    Step.objects.filter(pk=step.pk).update(blocked_since=timezone.now() - timedelta(hours=25))
    run(request)
    assert request.status == Status.PARTLY_COMPLETED
    [first] = archives(request)
    assert not [name for name in names(first) if "/fake-" in name]
    assert b"Support desk" in opened(first).read("manifest.json")

    place.switch(unavailable=False)
    wake(request)
    run(request)
    assert request.status == Status.COMPLETED
    [first, second] = archives(request)
    assert len([name for name in names(second) if "/fake-" in name]) == 2
    assert not [name for name in names(second) if "account" in name]


@pytest.mark.slow
def test_a_place_that_breaks_off_midway_goes_on_where_it_was(ada, place, settings):
    settings.STEP_BATCH_SECONDS = 0  # a batch after every entry
    place.put("ada@example.org", 5)
    place.switch(unavailable_after=3)
    request = run(filed(ada))
    step = step_at(request, "Support desk")
    assert (step.state, step.done_count) == ("blocked", 3)
    place.switch(unavailable_after=None)
    wake(request)
    run(request)
    [archive] = archives(request)
    assert len([name for name in names(archive) if "/fake-" in name]) == 5
    assert step_at(request, "Support desk").done_count == 5


@pytest.mark.slow
def test_a_place_that_refuses_needs_a_person_and_goes_on_after_a_retry(ada, place):
    place.put("ada@example.org", 1)
    place.switch(refused=True)
    request = run(filed(ada))
    assert (request.status, states(request)["Support desk"]) == (Status.PARTLY_COMPLETED, "needs_person")
    assert len(archives(request)) == 1
    place.switch(refused=False)
    services.retry_step(step_at(request, "Support desk"), actor=as_person(ada))
    run(request)
    assert request.status == Status.COMPLETED
    assert len(archives(request)) == 2


def test_a_full_disk_blocks_and_the_next_try_succeeds(ada, place):
    place.put("ada@example.org", 1)
    place.switch(storage_full=True)
    request = run(filed(ada))
    assert step_at(request, "Support desk").reason == "storage_full"
    place.switch(storage_full=False)
    wake(request)
    assert run(request).status == Status.COMPLETED


def test_a_broken_place_needs_a_person_after_five_attempts(ada, place):
    place.switch(broken=True)
    request = filed(ada)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            run(request)
        wake(request)
    run(request)
    step = step_at(request, "Support desk")
    assert (step.state, step.reason, step.attempts) == ("needs_person", "too_many_attempts", 5)
    assert request.status == Status.PARTLY_COMPLETED


@pytest.mark.slow
def test_a_place_added_meanwhile_takes_part(ada, place, tmp_path, monkeypatch):
    request = filed(ada)
    late = add_place(tmp_path / "late", "Late desk")
    late.put("ada@example.org", 1)
    run(request)
    assert states(request)["Late desk"] == "done"
    [archive] = archives(request)
    assert len([name for name in names(archive) if "/fake-" in name]) == 1


def test_a_withdrawn_copy_is_destroyed_and_its_worker_cannot_commit(ada, place):
    from apps.archives.models import Segment
    from apps.requests import claims, upkeep
    from apps.requests.errors import LostClaim

    place.put("ada@example.org", 2)
    place.switch(unavailable=True)
    request = run(filed(ada))
    wake(request)
    claim = taken(request)
    services.withdraw_request(request, actor=as_person(ada))
    with pytest.raises(LostClaim):
        claims.done(claim)
    upkeep.tidy()
    assert Archive.objects.get(request_id=request.pk).state == Archive.State.DISCARDED
    assert not Segment.objects.filter(archive__request_id=request.pk).exists()
    assert run(request).status == Status.WITHDRAWN
    assert archives(request) == []


def test_a_process_asked_to_end_gives_its_step_back(ada, place, settings):
    from apps.requests import engine
    from apps.requests.workers import STOPPING

    settings.STEP_BATCH_SECONDS = 0
    place.put("ada@example.org", 3)
    request = filed(ada)
    step = step_at(request, "Support desk")
    request.steps.exclude(pk__in=[step.pk]).filter(phase="collect").update(state="done")
    claim = taken(request)
    assert claim.step.pk == step.pk
    STOPPING.set()
    engine.run_claim(claim)
    step.refresh_from_db()
    assert (step.state, step.done_count, step.attempts, step.token) == ("pending", 1, 0, None)
    STOPPING.clear()
    run(request)
    assert step_at(request, "Support desk").done_count == 3
