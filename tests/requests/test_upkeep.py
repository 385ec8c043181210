"""What time brings."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.archives.models import Archive
from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.locations.models import Location
from apps.mail.models import Letter
from apps.requests import selectors, services, statistics, upkeep
from apps.requests.errors import RecordErased, TooLarge
from apps.requests.models import Evidence, PrivacyRequest, Status
from tests.requests.conftest import approved, as_officer, as_person, events, filed, run, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def test_nothing_is_due_on_a_fresh_site_but_a_look_at_our_own_places(own_places):
    done = upkeep.nightly()
    assert done.pop("own places checked") == 3
    assert set(done.values()) == {0}
    own = Location.objects.filter(kind__in=("records", "archives", "account"))
    assert set(own.values_list("is_reachable", flat=True)) == {True}
    assert upkeep.nightly()["own places checked"] == 0


@pytest.mark.slow
def test_the_record_of_a_request_dies_with_its_retention(ada, place):
    place.put("ada@example.org", 1)
    opened = services.open_request(ada, kind="erasure", regime="gdpr", actor=as_person(ada), note="my words")
    services.approve_request(opened.request, rule="command_line", actor=Actor.command_line())
    request = run(opened.request)
    key = there(request.key_id)
    assert selectors.note_of(request) == "my words"
    assert upkeep.end_retentions() == 0
    PrivacyRequest.objects.filter(pk=request.pk).update(retain_until=upkeep.today() - timedelta(days=1))
    assert (upkeep.end_retentions(), upkeep.end_retentions()) == (1, 0)
    request.refresh_from_db()
    with pytest.raises(KeyDestroyed):
        keys.open_key(key)
    with pytest.raises(RecordErased):
        selectors.note_of(request)
    assert selectors.by_reference_and_code(opened.request.reference, opened.code) is None
    assert (request.sealed, request.receipts.count(), Letter.objects.filter(owner=request.pk).count()) == (None, 0, 0)
    assert (request.status, request.kind) == (Status.COMPLETED, "erasure")
    assert events(request)[-1] == "request.retention_ended"


@pytest.mark.slow
def test_a_request_that_goes_on_is_not_forgotten(ada, place):
    place.switch(blocked_until="2031-01-01")
    request = run(approved(ada))
    PrivacyRequest.objects.filter(pk=request.pk).update(retain_until=upkeep.today() - timedelta(days=1))
    assert upkeep.end_retentions() == 0


def test_a_request_that_nobody_confirmed_lapses_with_a_letter(ada):
    request = filed(ada, "erasure", identity_level="none")
    reviewed = filed(ada, "erasure")
    assert upkeep.lapse_unverified() == 0
    PrivacyRequest.objects.update(due_on=upkeep.today() - timedelta(days=1))
    assert upkeep.lapse_unverified() == 1
    request.refresh_from_db()
    reviewed.refresh_from_db()
    assert (request.status, reviewed.status) == (Status.LAPSED, Status.IN_REVIEW)
    assert Letter.objects.filter(owner=request.pk).count() == 2


def test_staff_are_told_once_five_days_before(ada, place, settings):
    place.switch(unavailable=True)
    request = run(filed(ada))
    assert upkeep.alert_staff() == 0
    PrivacyRequest.objects.filter(pk=request.pk).update(due_on=upkeep.today() + timedelta(days=5))
    assert (upkeep.alert_staff(), upkeep.alert_staff()) == (1, 0)


@pytest.mark.slow
def test_an_expired_archive_is_destroyed(ada, place):
    request = run(filed(ada))
    Archive.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert upkeep.nightly()["archives expired"] == 1
    [archive] = selectors.archives_of(request)
    assert (archive.state, archive.key_id) == (Archive.State.EXPIRED, None)


def test_evidence_dies_with_the_decision(ada, cleo, settings):
    from django.core.files.storage import default_storage

    request = filed(ada, "erasure")
    document = services.Document("passport of Ada.jpg", "image/jpeg")
    row = services.add_evidence(request, document, [b"secret ", b"picture"], actor=as_person(ada))
    assert b"".join(services.read_evidence(row)) == b"secret picture"
    assert services.describe_evidence(row) == document
    with default_storage.open(row.object_name) as file:
        assert b"secret" not in file.read()
    upkeep.tidy()
    row.refresh_from_db()
    assert row.destroyed_at is None
    services.refuse_request(request, ground="identity_not_verified", text="It is not you.", actor=as_officer(cleo))
    upkeep.tidy()
    row.refresh_from_db()
    assert row.destroyed_at is not None
    assert not default_storage.exists(row.object_name)
    with pytest.raises(KeyDestroyed):
        services.describe_evidence(row)
    assert events(request)[-1] == "evidence.destroyed"


def test_a_document_that_is_too_large_leaves_nothing(ada, settings):
    request = filed(ada, "erasure")
    huge = (b"x" * 1024 * 1024 for _ in range(21))
    with pytest.raises(TooLarge):
        services.add_evidence(request, services.Document("x", "image/png"), huge, actor=as_person(ada))
    assert Evidence.objects.count() == 0


@pytest.mark.slow
def test_statistics_count_by_law_and_kind(ada, ben, cleo, place):
    run(filed(ada))
    run(approved(ben))
    refused = filed(ada, "erasure", regime="ccpa")
    services.refuse_request(refused, ground="excessive", text="Too often.", actor=as_officer(cleo))
    today = timezone.now().date()
    rows = list(statistics.csv_rows(today, today))
    assert rows[0] == list(statistics.COLUMNS)
    assert [row[:7] for row in rows[1:]] == [
        ["ccpa", "erasure", "1", "0", "0", "1", "0"],
        ["gdpr", "access", "1", "1", "0", "0", "0"],
        ["gdpr", "erasure", "1", "1", "0", "0", "0"],
    ]
    assert statistics.statistics(today, today)[0].refused_by_ground == {"excessive": 1}
    assert statistics.statistics(today - timedelta(days=9), today - timedelta(days=1)) == []


def test_the_preview_counts_places_and_names_what_stands_in_the_way(ada, place):
    place.put("ada@example.org", 4)
    place.switch(blocked_until="2031-01-03")
    request = filed(ada, "erasure")
    row = next(one for one in selectors.plan_preview(request) if one.place == "Support desk")
    assert (row.counts, row.is_complete) == ({"item": 4}, True)
    assert there(row.obstacles[0].until).isoformat() == "2031-01-03"
    place.switch(unavailable=True)
    row = next(one for one in selectors.plan_preview(request) if one.place == "Support desk")
    assert (row.trouble, row.is_complete) == ("it does not answer", False)


@pytest.mark.slow
def test_the_timeline_tells_the_story_in_order(ada, place):
    place.put("ada@example.org", 1)
    request = run(filed(ada))
    story = selectors.timeline(request)
    assert story[0].event == "request.opened"
    assert story[-1].event == "request.completed"
    assert any(one.place == "Support desk" and one.event == "step.done" for one in story)
    desk = next(one for one in selectors.progress(request) if one.place == "Support desk")
    assert (desk.state, desk.done, desk.country) == ("done", 1, "Ireland")
