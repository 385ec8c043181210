"""Files that people bring: sealed on arrival, read by a worker, destroyed when they are read."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db import connections
from django.utils import timezone, translation

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, MasterKeyUnreachable
from apps.keys.providers.file import FileProvider
from apps.locations.errors import StorageFull, Unavailable
from apps.records import importers, objects, selectors, services, tasks
from apps.records.errors import ImportNotFound, RecordingNotAllowed, SubjectFrozen
from apps.records.models import Conversation, Import, Message, Subject
from apps.records.services import imports
from apps.records.uploads import UnlinkedUploadHandler
from tests.records.conftest import by

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def chatgpt(name: str, *texts: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {f"{name}-root": {"id": f"{name}-root", "message": None, "parent": None, "children": []}}
    parent = f"{name}-root"
    for number, text in enumerate(texts):
        here = f"{name}-{number}"
        mapping[parent]["children"].append(here)
        role = "assistant" if number % 2 else "user"
        message = {
            "id": here, "author": {"role": role}, "create_time": 1_700_000_000 + number,
            "content": {"content_type": "text", "parts": [text]}, "metadata": {},
        }  # fmt: skip
        mapping[here] = {"id": here, "message": message, "parent": parent, "children": []}
        parent = here
    return {
        "id": name, "conversation_id": name, "title": f"Title of {name}", "create_time": 1_700_000_000.0,
        "update_time": 1_700_000_100.0, "mapping": mapping, "current_node": parent,
    }  # fmt: skip


def export_of(*conversations: Any) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("conversations.json", json.dumps(conversations))
    return packed.getvalue()


def begin(subject: Subject, data: bytes, name: str = "canary-name.zip") -> Import:
    return services.start_import(subject, SimpleUploadedFile(name, data), actor=by(subject))


def test_an_upload_is_read_by_a_worker_and_then_destroyed(ada: Subject, storage: Path) -> None:
    row = begin(ada, export_of(chatgpt("c1", "canary one", "two"), chatgpt("c2", "three"), {"mapping": 7}))
    key_id = row.key_id
    assert key_id is not None
    [path] = [path for path in storage.rglob("*") if path.is_file()]
    assert b"canary" not in path.read_bytes()
    assert selectors.import_of(ada, row.pk).name == "canary-name.zip"
    tasks.run_import(str(row.pk))
    seen = selectors.import_of(ada, row.pk)
    assert (seen.state, seen.format, seen.conversations, seen.messages, seen.already_held) == (
        "done",
        "chatgpt",
        2,
        3,
        0,
    )
    assert (seen.done_items, seen.skipped_count, len(seen.skipped)) == (3, 1, 1)
    assert [path for path in storage.rglob("*") if path.is_file()] == []
    with pytest.raises(KeyDestroyed):
        keys.open_key(key_id)
    assert Entry.objects.filter(event=Event.IMPORT_FINISHED, about=ada.handle).count() == 1
    assert services.run_import(row.pk) is False  # a second message changes nothing
    assert Message.objects.filter(is_message=True).count() == 3


def test_an_import_is_seen_by_its_person_alone(ada: Subject, ben: Subject, storage: Path) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))
    assert [one.id for one in selectors.imports_of(ada)] == [row.pk]
    assert selectors.imports_of(ben) == []
    with pytest.raises(ImportNotFound):
        selectors.import_of(ben, row.pk)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\x7fELF\x00\x01\x02" * 50, "unreadable"), (export_of({"mapping": 7}), "unreadable")]
)
def test_a_file_without_conversations_fails_and_says_why(ada: Subject, storage: Path, data: bytes, reason: str) -> None:
    row = begin(ada, data)
    services.run_import(row.pk)
    seen = selectors.import_of(ada, row.pk)
    assert (seen.state, seen.reason, seen.conversations) == ("failed", reason, 0)
    assert seen.skipped[-1]["what"] == "canary-name.zip" and seen.skipped[-1]["why"]
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_what_was_not_understood_is_said_in_the_language_of_the_page_that_took_the_file(
    ada: Subject, storage: Path
) -> None:
    with translation.override("zh-hans"):
        row, lost = begin(ada, export_of({"mapping": 7})), begin(ada, export_of({"mapping": 8}))
    objects.delete(lost.object_name)
    for one in (row, lost):
        services.run_import(one.pk)  # as a worker does, whose own language is English
        why = selectors.import_of(ada, one.pk).skipped[-1]["why"]
        assert re.search("[\u4e00-\u9fff]", why), why
    assert translation.get_language() == "en"
    in_english = begin(ada, export_of({"mapping": 9}))
    services.run_import(in_english.pk)
    assert "No conversation could be read" in selectors.import_of(ada, in_english.pk).skipped[-1]["why"]


def test_a_frozen_or_unwilling_person_uploads_nothing(ada: Subject, ben: Subject, storage: Path) -> None:
    services.freeze_subject(ada.pk)
    services.set_recording(ben, False, actor=by(ben))
    with pytest.raises(SubjectFrozen):
        begin(ada, export_of(chatgpt("c1", "one")))
    with pytest.raises(RecordingNotAllowed):
        begin(ben, export_of(chatgpt("c1", "one")))
    assert not Import.objects.exists() and not storage.exists()


def test_consent_that_is_withdrawn_stops_an_import_that_waits(ada: Subject, storage: Path) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))
    services.set_recording(ada, False, actor=by(ada))
    services.run_import(row.pk)
    assert selectors.import_of(ada, row.pk).reason == "not_allowed"
    assert not Conversation.objects.exists()


def test_an_import_of_a_frozen_person_leaves_its_key_to_the_erasure(ada: Subject, storage: Path) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))
    services.freeze_subject(ada.pk)
    services.run_import(row.pk)
    row.refresh_from_db()
    assert (row.state, row.reason) == ("failed", "frozen") and row.key_id is not None
    assert not Conversation.objects.exists() and services.due_imports() == []


def test_a_long_import_goes_on_in_further_tasks_exactly_where_it_was(ada: Subject, storage: Path) -> None:
    row = begin(ada, export_of(*(chatgpt(f"c{number}", "one", "two") for number in range(7)), {"mapping": 7}))
    runs = 1
    while services.run_import(row.pk, seconds=0):
        runs += 1
    seen = selectors.import_of(ada, row.pk)
    assert (seen.state, seen.conversations, seen.messages, seen.already_held) == ("done", 7, 14, 0)
    assert seen.skipped_count == 1 and runs > 5


def test_a_storage_that_does_not_answer_is_waited_for(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))

    def down(*_arguments: Any, **_options: Any) -> None:
        raise Unavailable("the storage does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "download", down)
        assert services.run_import(row.pk) is False
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("waiting", 0) and row.lease_until is not None
    assert services.run_import(row.pk) is False  # not before the pause is over
    Import.objects.update(lease_until=timezone.now(), created_at=timezone.now() - timedelta(hours=1))
    assert services.due_imports() == [row.pk]
    services.run_import(row.pk)
    assert selectors.import_of(ada, row.pk).state == "done"


def test_an_upload_waits_for_the_place_of_the_master_keys_however_long_it_is_away(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))

    def away(*_arguments: Any) -> None:
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileProvider, "unwrap", away)
        for _try in range(imports.MAX_ATTEMPTS + 1):
            assert services.run_import(row.pk) is False
            row.refresh_from_db()
            assert (row.state, row.attempts) == ("waiting", 0) and row.lease_until is not None
            Import.objects.update(lease_until=timezone.now())
    services.run_import(row.pk)
    assert selectors.import_of(ada, row.pk).state == "done"


def test_a_full_storage_leaves_nothing_of_an_upload(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise StorageFull("there is no room left in the storage")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(objects, "upload", full)
        begin(ada, export_of(chatgpt("c1", "one")))
    assert Import.objects.get().state == "failed"
    assert Import.objects.get().key_id is None


def test_a_file_that_kills_its_worker_is_given_up(ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))

    def killed(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importers, "read", killed)
        for _attempt in range(imports.MAX_ATTEMPTS):
            with pytest.raises(KeyboardInterrupt):
                services.run_import(row.pk)
            assert services.run_import(row.pk) is False  # leased
            Import.objects.update(lease_until=timezone.now())
    services.run_import(row.pk)
    assert selectors.import_of(ada, row.pk).reason == "too_many_attempts"


def test_a_worker_that_lost_its_claim_writes_nothing_more(ada: Subject, storage: Path) -> None:
    row = begin(ada, export_of(chatgpt("c1", "one")))
    first = imports._claim(row.pk)
    assert first is not None
    Import.objects.update(lease_until=timezone.now())
    assert imports._claim(row.pk) is not None
    with pytest.raises(imports.LostClaim):
        imports._Run(first).go(60)
    assert not Conversation.objects.exists()


KILLED = """
import os, sys
import django
django.setup()
from apps.records.services import imports
from apps.records.uploads import UnlinkedUploadHandler
commit = imports._Run.commit
def and_die(self, done):
    commit(self, done)
    if self.row.__class__.objects.get(pk=self.row.pk).done_items >= int(sys.argv[2]):
        os.kill(os.getpid(), 9)
imports._Run.commit = and_die
from apps.records import rows
rows.rows_per_transaction = lambda: 20
imports.run_import(__import__("uuid").UUID(sys.argv[1]))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("after", [0, 4, 11])
def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(ada: Subject, storage: Path, after: int) -> None:
    row = begin(ada, export_of(*(chatgpt(f"c{number}", "one", "two", "three") for number in range(12))))
    connections.close_all()
    databases = {
        name: f"sqlite:///{configured['NAME']}"
        if configured["ENGINE"].endswith("sqlite3")
        else f"postgresql://{configured['USER']}@{configured['HOST']}:{configured['PORT']}/{configured['NAME']}"
        for name, configured in settings.DATABASES.items()
    }
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": databases["default"],
        "KEYS_DATABASE_URL": databases["keys"],
        "STORAGE_URL": f"file://{storage}",
        "DATA_DIR": str(settings.DATA_DIR),
        "PYTHONPATH": str(settings.BASE_DIR),
    }
    worker = subprocess.run(
        [sys.executable, "-c", KILLED, str(row.pk), str(after)], env=environment, capture_output=True, timeout=120
    )
    assert worker.returncode == -9, worker.stderr.decode()
    row.refresh_from_db()
    assert row.state == "running"
    assert services.run_import(row.pk) is False  # its lease still runs
    Import.objects.update(lease_until=timezone.now() - timedelta(seconds=1), created_at=timezone.now() - timedelta(1))
    assert services.due_imports() == [row.pk]
    assert (services.run_due_imports(), services.run_due_imports()) == (1, 0)
    seen = selectors.import_of(ada, row.pk)
    assert (seen.state, seen.conversations, seen.messages, seen.already_held) == ("done", 12, 36, 0)
    assert Message.objects.filter(is_message=True).count() == 36
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_pasted_text_is_stored_at_once(ada: Subject) -> None:
    report = services.import_text(ada, "User: May he?\n\nAssistant: It depends.", actor=by(ada))
    assert (report.conversations, report.messages) == (1, 2)
    with pytest.raises(importers.UnreadableFile):
        services.import_text(ada, "   ", actor=by(ada))


def test_a_large_upload_lies_in_no_named_file() -> None:
    handler = UnlinkedUploadHandler()
    handler.new_file("file", "canary.zip", "application/zip", None)
    handler.receive_data_chunk(b"canary" * 100_000, 0)
    received = handler.file_complete(600_000)
    assert isinstance(received, UploadedFile) and received.size == 600_000
    assert isinstance(handler.file.file, io.IOBase) and not Path(str(handler.file.file.name)).is_file()
    assert b"".join(received.chunks()) == b"canary" * 100_000
    handler.upload_interrupted()
    assert received.closed


def test_a_file_that_is_too_large_is_refused_and_named(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_UPLOAD_BYTES", 100)
    row = begin(ada, bytes(101))
    seen = selectors.import_of(ada, row.pk)
    assert (seen.state, seen.reason, seen.name) == ("failed", "too_large", "canary-name.zip")
    assert not storage.exists() and services.run_import(row.pk) is False and services.due_imports() == []
    assert begin(ada, bytes(100)).stored
