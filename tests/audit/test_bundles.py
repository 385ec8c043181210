"""The auditors' bundle can be checked offline with what is in it, and any change to it is found."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import bundles, continuing, quarantine, selectors, sequencer, services, triggers
from apps.audit.models import Anchoring, Checkpoint
from tests.audit.anchors.conftest import signed
from tests.audit.test_pages import body_of
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db(databases=["default", "keys"]), pytest.mark.usefixtures("signing_without_commits")]


@pytest.fixture
def anchored(write) -> Checkpoint:
    """A log of 300 entries whose first 101 were time-stamped, and left in a folder too."""
    write(100)
    first = services.sequence()
    now = timezone.now()
    Anchoring.objects.create(anchor="timestamp tsa.example.org", size=first.size, anchored_at=now, proof=b"a token")
    Anchoring.objects.create(anchor="timestamp tsa.example.org", size=first.size, anchored_at=now, proof=b"a repeat")
    Anchoring.objects.create(anchor="folder /share", size=first.size, anchored_at=now)
    write(199)
    return services.sequence()


@pytest.fixture
def bundle(anchored, tmp_path) -> Path:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"".join(bundles.bundle(anchored)))
    return path


def rewrite(bundle: Path, changes: dict[str, bytes | None]) -> Path:
    """The same bundle with some files changed, or left out."""
    changed = bundle.with_name("changed.zip")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = changes.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return changed


@pytest.mark.slow
def test_it_holds_everything_and_verifies_itself_in_a_process_of_its_own(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
    stamped = [name for name in names if name.startswith("anchors/timestamp-")]
    assert [Path(name).suffix for name in stamped] == [".checkpoint", ".proof"]
    assert {"README.txt", "keys.txt", "checkpoint", "entries.jsonl", "tile/0/000", "tile/entries/001.p/44"} <= set(
        names
    )
    listed = [json.loads(line) for line in (tmp_path / "out/anchors/anchors.jsonl").read_text().splitlines()]
    assert [one["anchor"] for one in listed] == ["timestamp tsa.example.org"] * 2 + ["folder /share"]
    for file in (str(bundle), "."):
        done = subprocess.run(
            [sys.executable, "-I", "habeas_verify.py", "log", file, "--key", selectors.public_key_text()],
            cwd=tmp_path / "out", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "300 entries" in done.stdout and "continue 1 older" in done.stdout


def test_the_raw_entries_in_it_are_good_too(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        assert run_verifier("log", archive.read("entries.jsonl"), tmp_path).code == 0


def test_its_keys_are_a_file_for_the_verifier(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        (tmp_path / "keys").write_bytes(archive.read("keys.txt"))
    assert run_verifier("log", bundle, tmp_path, key=str(tmp_path / "keys")).code == 0
    (tmp_path / "keys").write_text("no key in here\n")
    assert "holds no key" in run_verifier("log", bundle, tmp_path, key=str(tmp_path / "keys")).err


def test_every_file_that_counts_is_checked(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    counts = [name for name in files if name.startswith("tile/") or name.endswith("checkpoint")]
    assert len(counts) == 7
    for name in counts:
        for at in {0, len(files[name]) // 2, len(files[name]) - 1}:
            changed = bytearray(files[name])
            changed[at] ^= 1
            assert run_verifier("log", rewrite(bundle, {name: bytes(changed)}), tmp_path).code == 1, (name, at)
    for name in counts[:-1]:
        if not name.startswith("anchors/"):
            assert run_verifier("log", rewrite(bundle, {name: None}), tmp_path).code == 1, name
    assert run_verifier("log", rewrite(bundle, {}), tmp_path).code == 0


def test_a_checkpoint_of_another_past_beside_the_anchors_is_found(bundle, tmp_path, anchored):
    with zipfile.ZipFile(bundle) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".checkpoint")]
    result = run_verifier("log", rewrite(bundle, {name: signed(101).encode()}), tmp_path)
    assert result.code == 1 and "rewritten" in result.err
    result = run_verifier("log", rewrite(bundle, {name: signed(999).encode()}), tmp_path)
    assert result.code == 1 and "rolled back" in result.err


def test_damaged_zips_are_refused_with_one_line(bundle, tmp_path):
    whole = bundle.read_bytes()
    for changed in (whole[:-30], whole[: len(whole) // 2], whole[:60] + b"\xff" * 40 + whole[100:]):
        result = run_verifier("log", changed, tmp_path)
        assert result.code in (0, 1) and (result.code == 0 or result.err.count("\n") == 1)
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("checkpoint", "a")
        archive.writestr("checkpoint", "b")
    assert "twice" in run_verifier("log", tmp_path / "twice.zip", tmp_path).err


def packed(method: int, content: bytes = b"x" * 200, name: str = "checkpoint") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        packed(zipfile.ZIP_LZMA), packed(zipfile.ZIP_LZMA)[:45] + b"\xff" * 8 + packed(zipfile.ZIP_LZMA)[53:], packed(zipfile.ZIP_BZIP2),
        packed(zipfile.ZIP_STORED, name="\u00e9").replace("\u00e9".encode(), b"\xff\xfe"),
        packed(zipfile.ZIP_STORED)[:-22] + b"PK\x06\x07\x09\0\0\0" + b"\0" * 8 + b"\x09\0\0\0" + packed(zipfile.ZIP_STORED)[-22:],
        packed(zipfile.ZIP_DEFLATED, b"\0" * (20 * 2**20)),
    ],
    ids=["lzma", "damaged lzma", "bzip2", "a name that is none", "several disks", "far too large"],
)  # fmt: skip
def test_zips_that_pythons_own_reader_stumbles_over_are_refused_with_one_line(bundle, tmp_path, content):
    result = run_verifier("log", content, tmp_path)
    assert result.code == 1
    assert result.err.startswith("bad: ")
    assert result.err.count("\n") == 1
    assert run_verifier("log", bundle, tmp_path).code == 0


def test_a_folder_in_the_place_of_a_checkpoint_is_refused_with_one_line(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "log")
    assert run_verifier("log", tmp_path / "log", tmp_path).code == 0
    (tmp_path / "log" / "anchors" / "a" / "1.checkpoint").mkdir(parents=True)
    result = run_verifier("log", tmp_path / "log", tmp_path)
    assert result.code == 1 and result.err.startswith("bad: cannot read")


def test_a_log_whose_key_was_changed_needs_both_keys_for_its_anchors(anchored, settings, write, tmp_path):
    before = selectors.public_key_text()
    settings.LOG_SIGNING_KEY = base64.b64encode(b"M" * 32).decode()
    write(1)
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"".join(bundles.bundle(services.sequence())))
    after = selectors.public_key_text()
    result = run_verifier("log", path, tmp_path, key=after)
    assert result.code == 1 and "earlier keys" in result.err
    assert run_verifier("log", path, tmp_path, "--key", before, key=after).code == 0
    with zipfile.ZipFile(path) as archive:
        keys = archive.read("keys.txt").decode()
    assert before in keys and after in keys


def test_the_page_gives_it_to_eve_alone(client, anchored):
    assert client.get("/audit/bundle.zip").status_code == 302
    client.force_login(User.objects.create_user("mallory@example.org", "a long password"))
    assert client.get("/audit/bundle.zip").status_code == 404
    eve = User.objects.create_user("eve@larkspur.example", "a long password")
    eve.groups.add(Group.objects.get_or_create(name="auditors")[0])
    client.force_login(eve)
    response = client.get("/audit/bundle.zip")
    assert response.status_code == 200 and response["Content-Disposition"].endswith('"audit-bundle.zip"')
    with zipfile.ZipFile(io.BytesIO(body_of(response))) as archive:
        assert archive.testzip() is None


def test_the_command_writes_it_whole_or_not_at_all(write, tmp_path, settings, capsys):
    write(3)
    call_command("audit_bundle", tmp_path / "out.zip")
    assert "4 entries" in capsys.readouterr().out
    assert run_verifier("log", tmp_path / "out.zip", tmp_path).code == 0
    with pytest.raises(CommandError, match="cannot write"):
        call_command("audit_bundle", tmp_path / "no folder" / "out.zip")
    settings.TILES_DIR = "/proc/nothing"
    with pytest.raises(CommandError, match="cannot be signed"):
        call_command("audit_bundle", tmp_path / "other.zip")
    assert not list(tmp_path.glob("*.part")) and not (tmp_path / "other.zip").exists()


def test_what_was_left_of_an_earlier_log_is_not_in_the_bundle_of_the_next_one(anchored):
    with quarantine.replaying():
        continuing.begin_new_log(officers=[], instead_of=1)
        checkpoint = services.sequence()
    now = timezone.now()
    Anchoring.objects.create(anchor="folder /share", size=checkpoint.size, anchored_at=now)
    with zipfile.ZipFile(io.BytesIO(b"".join(bundles.bundle(checkpoint)))) as archive:
        assert not [name for name in archive.namelist() if name.startswith("anchors/timestamp-")]
        assert [json.loads(line)["size"] for line in archive.read("anchors/anchors.jsonl").splitlines()] == [
            checkpoint.size
        ]


def test_a_new_log_that_was_begun_twice_still_names_all_that_was_published(anchored, monkeypatch):
    real = sequencer.exclusive
    monkeypatch.setattr(sequencer, "exclusive", _killed)
    triggers.remove(connection)
    Checkpoint.objects.filter(size=anchored.size).delete()
    triggers.install(connection)  # as after a restore: only the files know the end
    with quarantine.replaying(), pytest.raises(KeyboardInterrupt):
        continuing.begin_new_log(officers=[], instead_of=1)
    monkeypatch.setattr(sequencer, "exclusive", real)
    with quarantine.replaying():
        entry = continuing.begin_new_log(officers=[], instead_of=1)
    assert selectors.details_of(entry)["size"] == anchored.size


def test_of_two_who_begin_the_new_log_at_once_one_does(anchored, settings):
    with quarantine.replaying():
        first = continuing.begin_new_log(officers=[], instead_of=1)
        services.sequence()
        assert continuing.begin_new_log(officers=[], instead_of=1) == first
    assert quarantine.state().log_number == 2
    assert (settings.TILES_DIR / "earlier/1/checkpoint").read_text() == anchored.note
    assert (settings.TILES_DIR / "checkpoint").exists()


def _killed():
    raise KeyboardInterrupt
