"""manage.py import_conversations: one JSON object, and exit status 0, 4 or 1."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import User
from apps.records import services, subjects
from apps.records.errors import SubjectNotFound
from apps.records.models import Conversation, Subject
from tests.records.conftest import by
from tests.records.test_imports import chatgpt, export_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

KEYS = ["format", "conversations", "messages", "attachments", "already_held", "skipped"]


def run(path: Path, subject: str, **options: Any) -> tuple[int, dict[str, Any], str]:
    out, err, status = io.StringIO(), io.StringIO(), 0
    try:
        call_command("import_conversations", path, subject=subject, stdout=out, stderr=err, **options)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    printed = json.loads(out.getvalue())
    assert list(printed) == KEYS
    return status, printed, err.getvalue()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.zip"
    path.write_bytes(export_of(chatgpt("c1", "one", "two"), chatgpt("c2", "three")))
    return path


def test_all_held_is_0_and_a_repeat_as_well(ada: Subject, export: Path) -> None:
    status, printed, _err = run(export, "ada@example.org")
    assert (status, printed["conversations"], printed["messages"], printed["format"]) == (0, 2, 3, "chatgpt")
    status, printed, _err = run(export, str(ada.pk))
    assert (status, printed["conversations"], printed["already_held"]) == (0, 0, 2)


def test_some_skipped_is_4_and_the_rest_is_held(ada: Subject, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(export_of(chatgpt("c1", "one"), {"mapping": 7, "title": "broken"}))
    status, printed, _err = run(path, "ada@example.org")
    assert (status, printed["conversations"], len(printed["skipped"])) == (4, 1, 1)
    assert set(printed["skipped"][0]) == {"what", "why"}


@pytest.mark.parametrize("data", [b"", b"\x7fELF" + bytes(100), b"[]", b'{"a": 1}'])
def test_nothing_read_is_1_with_one_line_that_says_why(ada: Subject, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    status, printed, err = run(path, "ada@example.org")
    assert (status, printed["conversations"]) == (1, 0)
    assert printed["skipped"] and len(err.strip().splitlines()) == 1


def test_a_missing_file_is_1(ada: Subject, tmp_path: Path) -> None:
    for missing in (tmp_path / "nothing", tmp_path):
        status, printed, err = run(missing, "nobody-yet@example.org")
        assert (status, printed["conversations"], err.strip()) == (1, 0, "There is no such file.")
    with pytest.raises(SubjectNotFound):
        subjects.find_subject("nobody-yet@example.org")


def test_nobody_is_added_under_what_is_no_address(ada: Subject, export: Path) -> None:
    people = Subject.objects.count()
    for subject in ("not an address @ at all", "carl@", "@", "a@b c"):
        with pytest.raises(CommandError):
            call_command("import_conversations", export, subject=subject)
    assert Subject.objects.count() == people
    assert run(export, "carl@example.org")[0] == 0
    assert Subject.objects.count() == people + 1


def test_the_person_can_be_named_in_a_file(ada: Subject, export: Path, tmp_path: Path) -> None:
    (tmp_path / "who").write_text("ada@example.org\n")
    assert run(export, f"@{tmp_path / 'who'}")[0] == 0
    assert Conversation.objects.filter(subject=ada).count() == 2


def test_a_new_address_becomes_a_person_and_a_sign_ins_address_its_own(export: Path) -> None:
    assert run(export, "carl@example.org")[0] == 0
    user = User.objects.create_user("dora@example.org", "a long password")
    assert run(export, "dora@example.org")[0] == 0
    assert Conversation.objects.filter(subject=subjects.find_subject("carl@example.org")).count() == 2
    assert Conversation.objects.filter(subject__account=user).count() == 2


def test_who_cannot_be_found_or_written_for_is_refused(ada: Subject, export: Path) -> None:
    for subject in ("no-such-id", "@/no/such/file"):
        with pytest.raises(CommandError):
            call_command("import_conversations", export, subject=subject)
    services.set_recording(ada, False, actor=by(ada))
    with pytest.raises(CommandError, match="consent"):
        call_command("import_conversations", export, subject="ada@example.org")
    services.freeze_subject(ada.pk)
    with pytest.raises(CommandError, match="erasure"):
        call_command("import_conversations", export, subject="ada@example.org")
    assert not Conversation.objects.exists()
