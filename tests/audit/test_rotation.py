"""Signing keys and SECRET_KEY are changed on a site with a past: what was signed keeps verifying, and no data is touched."""

from __future__ import annotations

import base64
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from apps.accounts.models import User
from apps.audit import notes, proofs, selectors, services, verification
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry
from apps.keys import services as keys
from tests.audit.conftest import newest
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db(databases=["default", "keys"]), pytest.mark.usefixtures("signing_without_commits")]

BODY = b'{"number":1}'
ANOTHER = base64.b64encode(b"M" * 32).decode()


@pytest.fixture
def receipt(handle: str) -> str:
    """A receipt of the time of the old key."""
    with transaction.atomic():
        details = {"number": 1, "body_sha256": sha256(BODY).digest()}
        entry = services.append(Event.RECEIPT_ISSUED, about=handle, actor=Actor.system(), **details)
    services.sequence()
    return selectors.receipt_text(entry, BODY)


class TestLogKey:
    def test_what_the_old_key_signed_keeps_verifying(
        self, receipt: str, settings: Any, write: Any, tmp_path: Path, tiles_dir: Path
    ) -> None:
        old, kept = selectors.public_key_text(), newest().note
        settings.LOG_SIGNING_KEY = ANOTHER
        verification.verify_everything(kept)  # before anything is signed anew
        write(3)
        services.sequence()
        new = selectors.public_key_text()
        assert [str(key) for key in selectors.verifier_keys()] == [new, old]
        assert proofs.check_receipt(receipt, old).body == BODY
        assert proofs.check_receipt(receipt, new, old).body == BODY
        with pytest.raises(proofs.BadProof):
            proofs.check_receipt(receipt, new)
        verification.verify_everything(kept)
        (tmp_path / "kept").write_text(kept)
        both = ["--checkpoint", str(tmp_path / "kept"), "--key", old]
        assert run_verifier("log", tiles_dir, tmp_path, *both, key=new).code == 0
        assert run_verifier("receipt", receipt, tmp_path, "--key", old, key=new).code == 0
        assert run_verifier("receipt", receipt, tmp_path, key=new).code == 1

    def test_a_receipt_asked_for_again_is_signed_with_the_new_key(self, receipt: str, settings: Any) -> None:
        settings.LOG_SIGNING_KEY = ANOTHER
        services.sequence()
        again = selectors.receipt_text(Entry.objects.get(event=Event.RECEIPT_ISSUED), BODY)
        assert proofs.check_receipt(again, selectors.public_key_text()).body == BODY

    def test_the_change_is_an_entry_and_the_old_key_stays_published(
        self, receipt: str, settings: Any, client: Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old = selectors.public_key_text()
        assert "Earlier keys" not in client.get("/audit/log/").content.decode()
        settings.LOG_SIGNING_KEY = ANOTHER
        services.sequence()
        entry = Entry.objects.get(event=Event.SIGNING_KEY_CHANGED)
        assert selectors.details_of(entry)["log_key"] == selectors.verifier_key().public.hex()
        page = client.get("/audit/log/").content.decode()
        assert "Earlier keys" in page and old in page.replace("&#x3D;", "=").replace("&#43;", "+")
        call_command("audit_log_key", "log", "--all")
        assert capsys.readouterr().out.split() == [selectors.public_key_text(), old]

    def test_a_strangers_key_is_none_of_the_logs(self, receipt: str) -> None:
        stranger = notes.VerifierKey(selectors.verifier_key().name, b"s" * 32)
        with pytest.raises(notes.BadNote):
            notes.open_with_any(newest().note, [stranger])
        with pytest.raises(notes.BadNote, match="no key"):
            notes.open_with_any(newest().note, [])


def test_the_archives_key_of_the_past_stays_published(receipt: str, settings: Any) -> None:
    old = selectors.archive_key_text()
    settings.ARCHIVE_SIGNING_KEY = ANOTHER
    services.sequence()
    assert [str(key) for key in selectors.archive_keys()] == [selectors.archive_key_text(), old]
    assert Entry.objects.filter(event=Event.SIGNING_KEY_CHANGED).count() == 1


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        file = tmp_path / "LOG_SIGNING_KEY"
        file.write_text("the old one")
        monkeypatch.delenv("LOG_SIGNING_KEY")
        monkeypatch.setenv("LOG_SIGNING_KEY_FILE", str(file))
        return file

    def test_it_puts_a_new_key_into_the_file(self, file: Path, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
        write(1)
        call_command("rotate_signing_key", "log")
        assert len(base64.b64decode(file.read_text(), validate=True)) == 32
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert selectors.public_key_text() in capsys.readouterr().out
        assert Checkpoint.objects.latest("size").size == 2  # what waited was signed with the old key

    def test_a_key_in_the_environment_is_not_ours_to_change(self) -> None:
        with pytest.raises(CommandError, match="openssl rand"):
            call_command("rotate_signing_key", "archives")

    def test_nothing_is_changed_where_that_is_not_possible(
        self, file: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOG_SIGNING_KEY_FILE", "/proc/nothing")
        with pytest.raises(CommandError, match="cannot be written"):
            call_command("rotate_signing_key", "log")
        settings.TILES_DIR = "/proc/nothing"
        monkeypatch.setenv("LOG_SIGNING_KEY_FILE", str(file))
        with pytest.raises(CommandError, match="cannot be signed"):
            call_command("rotate_signing_key", "log")
        assert file.read_text() == "the old one"


class TestSecretKey:
    def test_no_data_depends_on_it(self, settings: Any) -> None:
        made = keys.create_key(keys.KeyKind.SUBJECT, owner=None)
        index = keys.blind_index_key("rotation")
        site = keys.site_key("rotation")
        settings.SECRET_KEY = "another " * 8
        assert keys.open_key(made.id) == made.key
        assert (keys.blind_index_key("rotation"), keys.site_key("rotation")) == (index, site)

    @pytest.mark.slow
    def test_a_session_lives_on_while_the_old_one_is_a_fallback(self, client: Client, settings: Any) -> None:
        user = User.objects.create_user("eve@larkspur.example", "a long password")
        client.force_login(user)
        old = settings.SECRET_KEY
        assert client.get("/privacy/").status_code == 200
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another " * 8, [old]
        assert client.get("/privacy/").status_code == 200
        client.force_login(user)
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a third " * 8, []
        assert client.get("/privacy/").status_code == 302
