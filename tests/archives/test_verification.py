"""An archive is good only as it was made: whatever is changed, added, cut or swapped is found."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import subprocess
import sys
import uuid
import zipfile
import zlib
from argparse import Namespace
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import transaction

from apps.archives import services
from apps.archives.models import Archive
from apps.audit.actors import Actor
from apps.audit.selectors import archive_key_text, public_key_text
from tests.archives.conftest import ADA, BEN, content_of, entry, finish, new_archive, write_batch
from verify import habeas_verify

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

VERIFIER = Path(settings.BASE_DIR) / "verify" / "habeas_verify.py"
VECTORS = Path(settings.BASE_DIR) / "tests" / "vectors" / "archives"


CASES = json.loads((VECTORS / "cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["file"])
def test_every_case_has_the_outcome_that_it_names(case: dict[str, str]) -> None:
    keys = habeas_verify.read_keys([CASES["key"]])
    if case["outcome"] == "good":
        assert "6 files" in habeas_verify.check_archive(VECTORS / case["file"], keys, Namespace())
        return
    with pytest.raises(habeas_verify.Bad):
        habeas_verify.check_archive(VECTORS / case["file"], keys, Namespace())


def test_every_file_of_the_cases_is_named() -> None:
    assert sorted(case["file"] for case in CASES["cases"]) == sorted(path.name for path in VECTORS.glob("*.zip"))


@pytest.mark.thorough
def test_noise_and_mutilated_archives_are_bad_and_never_a_crash(tmp_path: Path) -> None:
    good, rng = (VECTORS / "good.zip").read_bytes(), random.Random(3)
    for _ in range(400):
        start, stop = sorted(rng.randrange(len(good)) for _ in range(2))
        data = rng.choice((good[:start] + good[stop:], good[:start] + rng.randbytes(20) + good[stop:], good[start:]))
        assert data == good or verdict(data, tmp_path / "a.zip", CASES["key"])


def make(archive: Archive) -> bytes:
    step = uuid.uuid4()
    text = b"What may the landlord keep? " * 30
    write_batch(archive, step, entry("conversations.json", b"[1,", "piece"), entry("pages/000001.html", text))
    write_batch(archive, step, entry("conversations.json", b"2]", "last"), entry("attachments/000001.png", bytes(300)))
    return content_of(finish(archive))


@pytest.fixture
def good(archive: Archive) -> bytes:
    return make(archive)


def verdict(data: bytes, path: Path, key: str | None = "") -> str:
    """Return "" when the verifier finds no fault, otherwise what it says."""
    path.write_bytes(data)
    try:
        habeas_verify.check_archive(
            path, habeas_verify.read_keys([archive_key_text()] if key == "" else [key] if key else []), Namespace()
        )
    except habeas_verify.Bad as error:
        return str(error)
    return ""


def test_a_good_archive_is_good_in_the_command_and_in_the_standalone_program(
    good: bytes, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(good)
    call_command("verify_archive", str(path))
    assert "good: archive" in capsys.readouterr().out
    command = [sys.executable, "-I", str(VERIFIER), "archive", str(path)]
    done = subprocess.run([*command, "--key", archive_key_text()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "HB-7Q4K-2M9X" in done.stdout
    assert subprocess.run(command, capture_output=True, check=False).returncode == 3
    other = subprocess.run([*command, "--key", public_key_text()], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "not signed by this key" in other.stderr
    path.write_bytes(good[:-1])
    bad = subprocess.run([*command, "--key", archive_key_text()], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stderr.count("\n")) == (1, 1)
    with pytest.raises(CommandError, match="bad: "):
        call_command("verify_archive", str(path))


@pytest.mark.thorough
def test_every_flipped_bit_of_the_structure_and_a_sample_of_all_others_is_found(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    assert verdict(good, path) == ""
    with zipfile.ZipFile(io.BytesIO(good)) as opened:
        infos, start = opened.infolist(), opened.start_dir
    structural = set(range(start, len(good)))
    for info in infos:
        head = 30 + len(info.filename)
        structural |= set(range(info.header_offset, info.header_offset + head))
        packed_end = info.header_offset + head + info.compress_size
        structural |= set(range(packed_end - min(info.compress_size, 12), packed_end))
    rng = random.Random(7)
    places = {(place, rng.randrange(8)) for place in structural} | {
        (rng.randrange(len(good)), rng.randrange(8)) for _ in range(1500)
    }
    unseen = [(place, bit) for place, bit in sorted(places) if not verdict(flipped(good, place, bit), path)]
    assert unseen == []


def test_every_bit_of_a_small_archive_is_checked_even_the_padding_that_zip_programs_ignore(tmp_path: Path) -> None:
    archive = new_archive(ADA)
    step = uuid.uuid4()
    write_batch(archive, step, entry("a.txt", b"abc", "piece"))
    write_batch(archive, step, entry("a.txt", b"def", "last"))
    data = content_of(finish(archive))
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        info = opened.getinfo("a.txt")
    first = info.header_offset + 30 + len("a.txt")
    path = tmp_path / "a.zip"
    ignored = 0
    for place in range(first, first + info.compress_size):
        for bit in range(8):
            changed = flipped(data, place, bit)
            with contextlib.suppress(zipfile.BadZipFile, zlib.error):
                ignored += zipfile.ZipFile(io.BytesIO(changed)).read("a.txt") == b"abcdef"
            assert verdict(changed, path)
    assert ignored > 0  # there are such bits


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_cut_added_and_doubled_bytes_are_found(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(io.BytesIO(good)) as opened:
        start, second = opened.start_dir, opened.infolist()[1].header_offset
    for changed in (
        *(good[:-1], good + b"\0", b"\0" + good, good[: len(good) // 2], b"", b"PK", good[22:], good + good),
        good[:second] + b"hidden" + good[second:],
        good[:start] + b"hidden" + good[start:],
        good[:-22] + b"PK\6\7" + good[-22:],
        good[:-2] + struct.pack("<H", 3) + b"abc",
    ):
        assert verdict(changed, path)


def test_files_added_dropped_renamed_or_repacked_by_other_programs_are_found(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(io.BytesIO(good)) as opened:
        files = [(info.filename, opened.read(info)) for info in opened.infolist()]

    def packed(content: list[tuple[str, bytes]]) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as writing:
            for name, data in content:
                writing.writestr(name, data)
        return target.getvalue()

    appended = io.BytesIO(good)
    with zipfile.ZipFile(appended, "a") as writing:
        writing.writestr("extra.txt", b"x")
    for changed in (packed(files), packed(files[1:]), packed([("x", b""), *files]), appended.getvalue()):
        assert zipfile.ZipFile(io.BytesIO(changed)).testzip() is None  # other programs find no fault
        assert verdict(changed, path)


def test_a_manifest_signed_for_another_archive_does_not_help(good: bytes, tmp_path: Path) -> None:
    other = make(new_archive(BEN))
    notes = []
    for data in (good, other):
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            notes.append(opened.read("manifest.json.sig"))
    assert len(notes[0]) == len(notes[1])
    path = tmp_path / "a.zip"
    assert verdict(good.replace(notes[0], notes[1]), path)
    assert verdict(good.replace(notes[0], notes[0].replace(b"\xe2\x80\x94 ", b"-- ")), path)


def test_an_unsigned_change_that_is_right_everywhere_else_is_found(good: bytes, tmp_path: Path) -> None:
    """Change one digit of the manifest, and the checksums of the ZIP with it: only the signature is left to tell."""
    with zipfile.ZipFile(io.BytesIO(good)) as opened:
        manifest = opened.read("manifest.json")
        crc = opened.getinfo("manifest.json").CRC
    forged = manifest.replace(b'"media_type":"text/plain"', b'"media_type":"text/plaim"', 1)
    assert forged != manifest
    changed = good.replace(manifest, forged).replace(struct.pack("<L", crc), struct.pack("<L", zlib.crc32(forged)))
    assert zipfile.ZipFile(io.BytesIO(changed)).testzip() is None
    path = tmp_path / "a.zip"
    assert "manifest" in verdict(changed, path)
    assert "manifest" in verdict(changed, path, key=None)


def test_the_manifest_names_every_file_its_pieces_and_what_is_missing(archive: Archive) -> None:
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"one"))
    data = content_of(finish(archive, missing=[{"place": "Support desk", "reason": "unreachable", "until": None}]))
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        names = opened.namelist()
    assert [file["name"] for file in manifest["files"]] == names[:-2]
    assert manifest["missing"] == [{"place": "Support desk", "reason": "unreachable", "until": ""}]
    assert manifest["request"] == "HB-7Q4K-2M9X"
    first = manifest["files"][0]
    assert (first["name"], first["size"], first["pieces"][0]["length"]) == ("a.txt", 3, 3)
    assert first["pieces"][0]["sha256"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


def test_a_second_finish_and_a_second_publish_change_nothing(archive: Archive) -> None:
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"one"))
    before = content_of(finish(archive))
    finish(archive)
    assert content_of(archive) == before
    services.sweep_segments(archive)
    with transaction.atomic():
        services.publish(archive, actor=Actor.system())
    assert content_of(archive) == before
