"""The life of an archive: begun once, published, expired, erased; and the place "archives"."""

from __future__ import annotations

import json
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.archives import layout, objects, selectors, services
from apps.archives.connector import ArchivesConnector
from apps.archives.errors import ArchiveGone, StaleBatch, Unfinished
from apps.archives.models import Archive, Mark, Member, Piece, Segment
from apps.archives.writer import BatchWriter
from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.keys.errors import KeyDestroyed
from apps.keys.services import open_key
from apps.locations.contract import Identity, Scope
from apps.locations.errors import LocationError, Unavailable
from tests.archives.conftest import ADA, BEN, content_of, entry, finish, new_archive, unzip, write_batch

in_transaction = pytest.mark.django_db(databases=["default", "keys"])
committed = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def files_of(subject: uuid.UUID) -> list[Path]:
    folder = Path(default_storage.path(objects.folder_of(subject)))
    return list(folder.iterdir()) if folder.is_dir() else []


def ready(subject: uuid.UUID) -> Archive:
    archive = new_archive(subject)
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"content"))
    return finish(archive)


def identity(subject: uuid.UUID, request: uuid.UUID | None = None) -> Identity:
    return Identity(subject_id=subject, account_id=None, request_id=request)


@in_transaction
def test_two_workers_that_begin_an_archive_at_once_write_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one begins it after this one has looked, and before it counts which number comes next."""
    request = uuid.uuid4()
    create_key = services.keys.create_key
    others: list[Archive] = []

    def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(services.keys, "create_key", create_key)
        others.append(new_archive(ADA, request))
        return create_key(*arguments, **options)

    monkeypatch.setattr(services.keys, "create_key", overtaken)
    assert new_archive(ADA, request) == others[0]
    assert Archive.objects.filter(request_id=request).count() == 1


@in_transaction
def test_a_worker_whose_rival_has_begun_and_published_meanwhile_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    request = uuid.uuid4()
    finish(new_archive(ADA, request))

    def too_late(**_values: Any) -> Archive:
        raise IntegrityError

    monkeypatch.setattr(Archive.objects, "create", too_late)
    with pytest.raises(StaleBatch):
        new_archive(ADA, request)
    assert [row.state for row in Archive.objects.filter(request_id=request)] == ["ready"]


@in_transaction
def test_a_request_has_one_archive_in_the_making_and_a_second_one_after_the_first() -> None:
    request = uuid.uuid4()
    first = new_archive(ADA, request)
    assert new_archive(ADA, request) == first
    finish(first)
    second = new_archive(ADA, request)
    assert (first.number, second.number) == (1, 2)
    assert first.key_id != second.key_id


@in_transaction
def test_only_a_finished_archive_is_published_and_the_log_says_so(archive: Archive) -> None:
    with pytest.raises(StaleBatch), transaction.atomic():
        services.publish(archive, actor=Actor.system())
    finish(archive)
    assert archive.state == Archive.State.READY
    assert archive in selectors.open_archives(ADA)
    assert archive not in selectors.open_archives(BEN)
    assert archive.expires_at is not None
    assert archive.expires_at > timezone.now() + timedelta(days=13)
    assert Entry.objects.filter(event="archive.published", about=archive.handle).count() == 1


@in_transaction
def test_an_open_file_is_left_out_only_if_a_place_is_said_to_be_missing(archive: Archive) -> None:
    broken, whole = uuid.uuid4(), uuid.uuid4()
    write_batch(archive, broken, entry("conversations.json", b"[1,", "piece"), entry("1.html", b"one"))
    write_batch(archive, whole, entry("places/s3/1.txt", b"kept"))
    with pytest.raises(Unfinished):
        finish(archive)
    assert selectors.has_open_files(archive, broken)
    services.sweep_segments(archive)
    left_out = services.finish_archive(
        archive, step_id=uuid.uuid4(), token=uuid.uuid4(), disclosure={}, missing=[{"place": "Conversations"}]
    )
    assert left_out == {broken}
    names = unzip(content_of(archive))
    assert "places/s3/1.txt" in names
    assert not {"conversations.json", "1.html"} & set(names)
    assert b"Conversations is missing." in names["index.html"]


@in_transaction
def test_of_two_workers_that_finish_one_wins(archive: Archive, monkeypatch: Any) -> None:
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"content"))
    measure = layout.measure

    def slowly(members: Any) -> Any:
        result = measure(members)
        monkeypatch.setattr(layout, "measure", measure)
        finish(Archive.objects.get(pk=archive.pk), publish=False)  # the other one is quicker
        return result

    monkeypatch.setattr(layout, "measure", slowly)
    with pytest.raises(StaleBatch):
        finish(archive, publish=False)
    archive.refresh_from_db()
    assert unzip(content_of(archive))["a.txt"] == b"content"
    assert Mark.objects.filter(archive=archive).count() == 1
    assert not Segment.objects.filter(committed=False).exists()


@committed
def test_expiry_destroys_the_key_then_objects_and_rows_and_touches_nobody_else() -> None:
    archive, other = ready(ADA), ready(BEN)
    assert content_of(archive)
    assert files_of(ADA)
    key_id = archive.key_id
    services.expire_archive(archive.pk, actor=Actor.system())
    archive.refresh_from_db()
    assert archive.state == Archive.State.EXPIRED
    assert key_id is not None
    with pytest.raises(KeyDestroyed):
        open_key(key_id)
    with pytest.raises(ArchiveGone):
        content_of(archive)
    assert not Path(default_storage.path(objects.folder_of(ADA))).exists()
    for model in (Segment, Member, Piece, Mark):
        assert not model.objects.filter(archive=archive).exists()
        assert model.objects.filter(archive=other).exists()
    services.expire_archive(archive.pk, actor=Actor.system())  # a repeat is quiet
    assert content_of(other)
    assert Entry.objects.filter(event="archive.expired").count() == 1


@committed
def test_what_is_due_expires_and_an_interrupted_end_is_gone_through_with(monkeypatch: Any) -> None:
    archive, other = ready(ADA), ready(BEN)
    Archive.objects.filter(pk=archive.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    def fail(name: str) -> None:
        raise Unavailable("no storage")

    monkeypatch.setattr(objects, "delete", fail)
    with pytest.raises(LocationError):
        services.expire_due()
    archive.refresh_from_db()
    assert (archive.state, archive.key_id is None) == (Archive.State.EXPIRED, False)
    with pytest.raises(ArchiveGone):
        content_of(archive)
    monkeypatch.undo()
    assert services.expire_due() == 1
    assert services.expire_due() == 0
    assert not Segment.objects.filter(archive=archive).exists()
    assert selectors.is_readable(other)


@committed
def test_an_unwanted_archive_is_discarded_before_it_was_published() -> None:
    archive = new_archive(ADA)
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"content", "piece"))
    with pytest.raises(ArchiveGone):
        services.expire_archive(archive.pk, actor=Actor.system())
    services.discard_archive(archive.pk, actor=Actor.system())
    archive.refresh_from_db()
    assert (archive.state, archive.key_id, files_of(ADA)) == (Archive.State.DISCARDED, None, [])
    with pytest.raises(StaleBatch):
        BatchWriter(archive, uuid.uuid4(), uuid.uuid4())


@in_transaction
def test_the_sweep_takes_only_what_no_batch_committed_and_spares_the_young(archive: Archive) -> None:
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"content"))
    lost, alive = (
        BatchWriter(archive, uuid.uuid4(), uuid.uuid4()),
        BatchWriter(archive, uuid.uuid4(), token := uuid.uuid4()),
    )
    for batch in (lost, alive):
        batch.write(entry("b.txt", b"lost"))
        batch.close()
    assert services.sweep_segments() == 0  # younger than a day
    assert services.sweep_segments(archive, keep_token=token) == 1
    Segment.objects.filter(committed=False).update(created_at=timezone.now() - timedelta(days=2))
    assert services.sweep_segments() == 1
    assert Segment.objects.count() == len(files_of(ADA)) == 1


@in_transaction
def test_the_nightly_sweep_compares_storage_and_rows_both_ways(caplog: Any) -> None:
    archive, folder = ready(ADA), Path(default_storage.path(objects.folder_of(ADA)))
    for name in ("old", "young"):
        (folder / name).write_bytes(b"no row names this")
    yesterday = (timezone.now() - timedelta(hours=25)).timestamp()
    for path in folder.iterdir():
        os.utime(path, (yesterday, yesterday) if path.name != "young" else None)
    assert services.sweep_segments() == 1
    assert {path.name for path in folder.iterdir()} >= {"young"}
    assert not (folder / "old").exists()
    assert content_of(archive)
    assert not caplog.records
    next(path for path in folder.iterdir() if path.name != "young").unlink()
    assert services.sweep_segments() == 0
    assert "1 segments of published archives are missing" in caplog.text


@in_transaction
def test_access_lists_earlier_archives_and_holds_none_of_them() -> None:
    earlier, now = ready(ADA), new_archive(ADA)
    ready(BEN)
    place = ArchivesConnector({})
    who = identity(ADA, now.request_id)
    assert [item.name for item in place.find(who, Scope())] == [str(earlier.pk)]
    (listed,) = place.export(who, Scope(), "")
    (described,) = json.loads(b"".join(listed.chunks))
    assert described["size"] == earlier.size
    assert described["can be downloaded until"]
    assert list(place.export(who, Scope(), listed.cursor)) == []
    assert list(place.export(identity(ADA, earlier.request_id), Scope(), "")) == []  # not the one being answered
    assert place.check().is_reachable
    assert place.preflight(who, Scope()) == []


@in_transaction
def test_erasure_takes_every_archive_of_ada_and_none_of_bens() -> None:
    for subject in (ADA, BEN):
        ready(subject)
        write_batch(new_archive(subject), uuid.uuid4(), entry("a.txt", b"half", "piece"))
    place = ArchivesConnector({})
    assert place.remaining(identity(ADA), Scope()).count == 2
    unknown = Path(default_storage.path(f"{objects.folder_of(ADA)}/unknown"))
    unknown.write_bytes(b"left by a crash")
    assert place.remaining(identity(ADA), Scope()).count == 3
    assert len(services.archive_key_ids(ADA)) == 2
    assert sum(step.erased for step in place.erase(identity(ADA), Scope(), "")) == 2
    assert place.remaining(identity(ADA), Scope()).count == 0
    assert sum(step.erased for step in place.erase(identity(ADA), Scope(), "")) == 0
    assert files_of(ADA) == []
    assert not Archive.objects.filter(subject_id=ADA).exists()
    assert place.remaining(identity(BEN), Scope()).count == 2
    assert len(files_of(BEN)) == Segment.objects.count() > 0


@in_transaction
def test_an_erasure_waits_for_archives_that_are_made_or_not_yet_fetched() -> None:
    making, fetched = new_archive(ADA), ready(ADA)
    services.note_served(fetched.pk, 0, fetched.size or 0, actor=Actor.system())
    unfetched = ready(ADA)
    assert set(selectors.unserved_archives(ADA)) == {making, unfetched}
