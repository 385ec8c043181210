"""What came in, in whatever format, goes out in a real archive and comes in again without loss and without doubles."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.locations.contract import Scope
from apps.records import importers, services, subjects
from apps.records.connector import RecordsConnector
from apps.records.models import Subject
from tests.archives.conftest import content_of, finish, new_archive, unzip, write_batch
from tests.records.importers.vectors import FOLDER, bytes_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
ACTOR = Actor.command_line()


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    backend = "django.core.files.storage.FileSystemStorage"
    options = {"location": str(tmp_path / "storage")}
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}


def archive_of(subject: Subject) -> bytes:
    archive = new_archive(uuid.uuid4())
    entries = RecordsConnector({}).export(subjects.identity_of(subject), Scope(formats=("html", "json", "csv")), "")
    write_batch(archive, uuid.uuid4(), *entries)
    return content_of(finish(archive))


def conversations_in(archive: bytes) -> dict[str, Any]:
    found = json.loads(unzip(archive)["conversations.json"])
    for conversation in found:
        for about in conversation.get("habeas_attachments", ()):
            about["path"] = ""  # numbered anew in each archive
    return {conversation.get("conversation_id") or conversation["id"]: conversation for conversation in found}


def test_every_format_survives_an_archive(tmp_path: Path) -> None:
    ada, ben = subjects.create_subject(), subjects.create_subject()
    upload, saved = tmp_path / "upload", tmp_path / "archive.zip"
    for path in sorted(FOLDER.glob("*.json")):
        vector = json.loads(path.read_text())
        if "conversations" in vector["expect"]:
            upload.write_bytes(bytes_of(vector["file"]))
            assert services.import_path(ada, upload, actor=ACTOR).read == len(vector["expect"]["conversations"])
    saved.write_bytes(archive_of(ada))
    held = conversations_in(saved.read_bytes())
    assert importers.read(saved).format == "habeas"

    again = services.import_path(ada, saved, actor=ACTOR)
    assert (again.conversations, again.messages, again.attachments, again.already_held) == (0, 0, 0, len(held))
    restored = services.import_path(ben, saved, actor=ACTOR)
    assert (restored.conversations, restored.skipped) == (len(held), [])
    assert conversations_in(archive_of(ben)) == held
