"""The storage against the rows, on a disk and in an S3 bucket with versions: what differs, and what goes on demand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import orjson
import pytest
from botocore.config import Config
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from moto.server import ThreadedMotoServer

from apps.archives.models import Archive
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services as keys
from apps.records import objects, services
from apps.records.models import Attachment, Subject, Sweep
from apps.records.sweeping import comparing
from apps.records.sweeping.comparing import Finding
from apps.records.sweeping.services import run_sweep, sweep_if_due
from tests.records.conftest import attachment, by, conversation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
BUCKET = "vault"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, settings: Any) -> Iterator[Any]:
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    found = boto3.resource("s3", endpoint_url=server, **access).Bucket(BUCKET)
    found.create()
    found.Versioning().enable()
    options: dict[str, Any] = {
        "access_key": "test",
        "secret_key": "test",
        "region_name": "us-east-1",
        "endpoint_url": server,
    }
    options |= {"bucket_name": BUCKET, "location": "habeas", "file_overwrite": False}
    options |= {"client_config": Config(retries={"max_attempts": 0}, connect_timeout=2)}
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    yield found
    for upload in found.multipart_uploads.all():
        upload.abort()
    found.object_versions.all().delete()
    found.delete()


@pytest.fixture
def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that is there be old enough."""
    monkeypatch.setattr(comparing, "SETTLED_AFTER", timedelta(seconds=-5))


def swept(**options: Any) -> tuple[Sweep, list[Finding]]:
    found: list[Finding] = []
    return run_sweep(actor=Actor.system(), tell=found.append, **options), found


def kinds(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.kind for finding in found}


def put(name: str, content: bytes = b"x") -> str:
    return default_storage.save(name, ContentFile(content))


def give(subject: Subject, count: int = 1) -> None:
    files = [attachment(f"{number}.pdf", b"pdf") for number in range(count)]
    services.store_conversations(subject, [conversation("c1", "text", attachments=files)], actor=by(subject))


def check_both_ways(ada: Subject) -> None:
    """The same story in every storage: three objects of ours, of which one goes; one orphan, one stranger."""
    give(ada, 3)
    rows = list(Attachment.objects.order_by("pk"))
    lost, unfinished = rows[0], rows[1]
    objects.delete(lost.object_name)
    Attachment.objects.filter(pk=unfinished.pk).update(stored=False)
    orphan = put(objects.new_name(objects.ATTACHMENTS, uuid4()), b"1234")
    stranger = put("attachments/notes from Ada.txt")
    beside = put("elsewhere/thing")
    wanted = {
        orphan: "orphan",
        lost.object_name: "missing",
        unfinished.object_name: "unfinished",
        stranger: "unknown",
        beside: "unknown",
    }
    row, found = swept()
    assert kinds(found) == wanted
    assert (row.objects_seen, row.state) == (5, "done")
    assert row.counts["orphan"] == {"found": 1, "removed": 0, "bytes": 4}
    assert default_storage.exists(orphan)
    row, found = swept(remove=True)
    assert {finding.name for finding in found if finding.is_removed} == {orphan, unfinished.object_name}
    assert not default_storage.exists(orphan)
    assert default_storage.exists(stranger)
    assert default_storage.exists(rows[2].object_name)
    row, found = swept(remove=True, unknown=True)
    assert kinds(found) == {lost.object_name: "missing", stranger: "unknown", beside: "unknown"}
    assert {finding.name for finding in found if finding.is_removed} == {stranger, beside}
    row, found = swept()
    assert kinds(found) == {lost.object_name: "missing"}
    assert default_storage.exists(rows[2].object_name)


def test_a_disk_is_compared_both_ways_and_only_what_was_asked_for_goes(
    ada: Subject, storage: Path, a_day_later: None
) -> None:
    check_both_ways(ada)


@pytest.mark.slow
def test_a_bucket_is_compared_both_ways_and_only_what_was_asked_for_goes(
    ada: Subject, bucket: Any, a_day_later: None
) -> None:
    check_both_ways(ada)


def test_what_is_younger_than_a_day_is_still_on_its_way(ada: Subject, storage: Path) -> None:
    give(ada)
    put(objects.new_name(objects.ATTACHMENTS, ada.pk))
    put("stranger")
    _row, found = swept(remove=True, unknown=True)
    assert found == []
    Attachment.objects.update(stored=False)
    assert swept()[1] == []


@pytest.mark.slow
def test_an_object_that_a_bucket_only_hid_is_an_orphan_and_goes_with_its_versions(
    ada: Subject, bucket: Any, a_day_later: None
) -> None:
    give(ada, 2)
    kept, gone = Attachment.objects.order_by("pk")
    bucket.Object(f"habeas/{gone.object_name}").delete()  # only adds a marker
    gone.delete()
    longer = put(f"{gone.object_name}-more")  # another key that begins like it
    _row, found = swept(remove=True)
    assert kinds(found) == {gone.object_name: "orphan", longer: "unknown"}
    left = {version.object_key for version in bucket.object_versions.all()}
    assert left == {f"habeas/{kept.object_name}", f"habeas/{longer}"}


def test_unfinished_uploads_of_a_bucket_are_called_off_if_they_are_ours(bucket: Any, a_day_later: None) -> None:
    ours = objects.new_name(objects.ATTACHMENTS, uuid4())
    for name in (ours, "somebody"):
        bucket.Object(f"habeas/{name}").initiate_multipart_upload()
    bucket.Object("another-site/of-this-bucket").initiate_multipart_upload()
    _row, found = swept(remove=True)
    assert kinds(found) == {ours: "unfinished", "somebody": "unknown"}
    left = {upload.object_key for upload in bucket.multipart_uploads.all()}
    assert left == {"habeas/somebody", "another-site/of-this-bucket"}


@pytest.mark.slow
def test_another_site_in_the_same_bucket_is_never_seen(bucket: Any, a_day_later: None) -> None:
    bucket.put_object(Key=f"other/{objects.new_name(objects.ATTACHMENTS, uuid4())}", Body=b"x")
    bucket.put_object(Key="habeas-two/thing", Body=b"x")
    row, found = swept(remove=True, unknown=True)
    assert (found, row.objects_seen) == ([], 0)
    assert len(list(bucket.objects.all())) == 2


def test_a_link_that_leads_outside_is_not_followed(storage: Path, tmp_path: Path, a_day_later: None) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (storage / "attachments").mkdir(parents=True)
    (storage / "attachments" / "link").symlink_to(outside)
    _row, found = swept(remove=True, unknown=True)
    assert kinds(found) == {"attachments/link": "unknown"}
    assert (outside / "precious").read_text() == "x"
    assert not os.path.lexists(storage / "attachments" / "link")


def test_what_a_killed_process_left_on_this_machine_goes(storage: Path, settings: Any) -> None:
    folder = Path(settings.TILES_DIR) / ".tmp"
    folder.mkdir(parents=True)
    (folder / "young").write_text("x")
    (folder / "old").write_text("xyz")
    long_ago = time.time() - 48 * 3600
    os.utime(folder / "old", (long_ago, long_ago))
    row, found = swept(remove=True)
    assert kinds(found) == {"old": "temporary"}
    assert row.counts["temporary"] == {"found": 1, "removed": 1, "bytes": 3}
    assert [path.name for path in folder.iterdir()] == ["young"]


def test_archives_whose_time_is_over_end_and_others_do_not(ada: Subject, storage: Path) -> None:
    now = timezone.now()
    made = {}
    for name, days in (("over", -1), ("open", 1)):
        key = keys.create_key(keys.KeyKind.ARCHIVE, owner=uuid4())
        made[name] = Archive.objects.create(
            request_id=uuid4(), handle=ada.handle, key_id=key.id, state="ready", expires_at=now + timedelta(days=days)
        )
    assert kinds(swept()[1]) == {str(made["over"].pk): "expired"}
    row, _found = swept(remove=True)
    assert row.counts["expired"]["removed"] == 1
    assert [Archive.objects.get(pk=made[name].pk).state for name in ("over", "open")] == ["expired", "ready"]


def test_an_object_that_is_written_down_just_now_is_not_removed(
    ada: Subject, storage: Path, a_day_later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada)
    row = Attachment.objects.get()
    real = comparing._rows_named
    stale = iter([{"nothing": (True, timezone.now())}])  # the first look is from before its row was there
    monkeypatch.setattr(comparing, "_rows_named", lambda names: next(stale, None) or real(names))
    swept(remove=True)
    assert default_storage.exists(row.object_name)


def test_memory_does_not_hold_the_names(ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "BATCH", 2)
    give(ada, 5)
    row, found = swept()
    assert (found, row.objects_seen) == ([], 5)


def test_a_storage_that_does_not_answer_is_said_and_the_report_is_no_agreement(settings: Any) -> None:
    options = {"access_key": "t", "secret_key": "t", "bucket_name": BUCKET, "endpoint_url": "http://127.0.0.1:9"}
    options |= {"client_config": Config(retries={"max_attempts": 0}, connect_timeout=1)}
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    with pytest.raises(CommandError, match="Not compared to the end"):
        call_command("sweep")
    assert Sweep.objects.get().state == "failed"
    assert details_of(Entry.objects.get(event=Event.STORAGE_SWEPT))["complete"] is False


def command(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("sweep", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_the_command_says_by_its_exit_status_whether_they_agree(ada: Subject, storage: Path, a_day_later: None) -> None:
    give(ada)
    assert command()[0] == 0
    orphan = put(objects.new_name(objects.ATTACHMENTS, ada.pk))
    code, text = command("--list")
    assert code == 4
    assert f"orphan 1 {orphan}" in text
    assert "Nothing was removed" in text
    code, text = command("--json")
    assert code == 4
    assert orjson.loads(text)["orphan"]["found"] == 1
    assert command("--remove")[0] == 0
    assert not default_storage.exists(orphan)
    with pytest.raises(CommandError):
        call_command("sweep", "--unknown")
    [newest] = Entry.objects.filter(event=Event.STORAGE_SWEPT).order_by("-pk")[:1]
    assert (details_of(newest)["orphan"], details_of(newest)["removed"], newest.role) == (1, 1, "command_line")


def test_names_are_listed_as_people_read_them_and_say_nothing_to_the_terminal(storage: Path, a_day_later: None) -> None:
    put("照片/my cat 猫.jpg")
    put("two\nlines\x1b[31m.txt")
    text = command("--list")[1]
    assert "unknown 1 照片/my cat 猫.jpg\n" in text
    assert r"unknown 1 two\nlines\x1b[31m.txt" in text
    assert "0 rows older than 24 hours" in text  # younger ones are not counted


def test_the_schedule_reports_once_a_night_and_removes_nothing(ada: Subject, storage: Path, a_day_later: None) -> None:
    orphan = put(objects.new_name(objects.ATTACHMENTS, ada.pk))
    assert sweep_if_due()
    assert not sweep_if_due()
    assert default_storage.exists(orphan)
    Sweep.objects.update(started_at=timezone.now() - timedelta(days=1))
    assert sweep_if_due()
