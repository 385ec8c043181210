"""Batches of entries become sealed segments, and these one ZIP."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import transaction

from apps.archives import services, writer
from apps.archives.errors import BadEntry, StaleBatch
from apps.archives.models import Archive, Member, Piece, Segment
from apps.archives.writer import BatchWriter
from apps.locations.errors import StorageFull
from tests.archives.conftest import content_of, entry, finish, unzip, write_batch

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

STEP = uuid.uuid4()


def objects() -> list[Path]:
    root = Path(default_storage.path("archives"))
    return [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_whole_files_and_files_in_pieces_come_out_as_they_went_in(archive: Archive) -> None:
    big = noise(100_000)
    write_batch(
        archive,
        STEP,
        entry("a.json", b"[1,", "piece"),
        entry("pages/1.html", b"<p>one</p>" * 1000),
        entry("a.json", b"2,", "piece"),
        entry("empty.txt", b""),
        entry("never.bin", (), "piece"),
    )
    write_batch(archive, STEP, entry("b.bin", (big[:30_000], b"", big[30_000:])), entry("a.json", b"3]", "last"))
    write_batch(archive, STEP, entry("never.bin", (), "last"), entry("at-once.txt", b"x", "last"))
    files = unzip(content_of(finish(archive)))
    assert files["a.json"] == b"[1,2,3]"
    assert files["pages/1.html"] == b"<p>one</p>" * 1000
    assert (files["empty.txt"], files["never.bin"], files["at-once.txt"]) == (b"", b"", b"x")
    assert files["b.bin"] == big
    assert list(files)[-2:] == ["manifest.json", "manifest.json.sig"]


def test_small_files_share_a_segment_and_large_ones_are_cut(archive: Archive, monkeypatch: Any) -> None:
    monkeypatch.setattr(writer, "SEGMENT_SIZE", 500_000)
    monkeypatch.setattr(writer, "_FEED", 100_000)
    big = noise(2_000_000)
    write_batch(archive, STEP, *[entry(f"{n}.txt", b"small") for n in range(20)])
    assert Segment.objects.count() == 1
    write_batch(
        archive, STEP, entry("open.txt", b"begun ", "piece"), entry("big.bin", big), entry("open.txt", b"end", "last")
    )
    assert Segment.objects.count() >= 5
    assert max(Segment.objects.values_list("size", flat=True)) < 800_000
    files = unzip(content_of(finish(archive)))
    assert files["big.bin"] == big
    assert files["open.txt"] == b"begun end"


def test_very_many_open_files_do_not_pile_up(archive: Archive) -> None:
    write_batch(archive, STEP, *[entry(f"{n}.txt", b"begun ", "piece") for n in range(100)])
    assert 2 < Segment.objects.count() < 5
    write_batch(archive, STEP, *[entry(f"{n}.txt", b"ended", "last") for n in range(100)])
    assert unzip(content_of(finish(archive)))["99.txt"] == b"begun ended"


def test_a_batch_of_very_many_files_says_that_it_is_full(archive: Archive, monkeypatch: Any) -> None:
    monkeypatch.setattr(writer, "_MOST_FILES", 3)
    with BatchWriter(archive, STEP, uuid.uuid4()) as batch:
        for number in range(3):
            assert not batch.is_full
            batch.write(entry(f"{number}.txt", b"x"))
        assert batch.is_full


def test_nothing_in_storage_is_in_clear_and_no_name_says_whose_it_is(archive: Archive) -> None:
    secret = b"My landlord keeps the deposit. " * 50
    stored = noise(5000)
    write_batch(archive, STEP, entry("1.html", secret), entry("2.bin", stored))
    finish(archive)
    assert objects()
    for path in objects():
        assert stored[:64] not in path.read_bytes()
    assert stored[:64] in content_of(archive)  # noise does not shrink, so it stands in the ZIP as it is


@pytest.mark.parametrize(
    "name",
    [
        *("../up.txt", "/root.txt", "a/../b", "a//b", "a\\b", "é.txt", "line\nbreak", ".hidden", "dot.", "con.txt"),
        *(
            "x/NUL",
            "index.html",
            "index-2.html",
            "INDEX.HTML",
            "manifest.json",
            "README.txt",
            "a:b",
            "",
            "x" * 201,
            "a/",
        ),
    ],
)
def test_names_that_could_do_harm_are_refused(archive: Archive, name: str) -> None:
    with BatchWriter(archive, STEP, uuid.uuid4()) as batch:
        with pytest.raises(BadEntry):
            batch.write(entry(name, b"x"))
        batch.write(entry("console.txt", b"x"))
        batch.write(entry("places/s3-1/000001.pdf", b"x"))


def test_two_files_of_one_name_are_refused_in_one_batch_and_over_two(archive: Archive) -> None:
    with BatchWriter(archive, STEP, uuid.uuid4()) as batch:
        batch.write(entry("a.txt", b"1"))
        with pytest.raises(BadEntry):
            batch.write(entry("a.txt", b"2"))
    write_batch(archive, STEP, entry("a.txt", b"1"))
    with pytest.raises(BadEntry):
        write_batch(archive, uuid.uuid4(), entry("a.txt", b"2"))
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"2"), folder="places/s3")
    assert set(unzip(content_of(finish(archive)))) >= {"a.txt", "places/s3/a.txt"}


def test_a_kill_between_batches_and_in_one_gives_the_same_files(archive: Archive) -> None:
    write_batch(archive, STEP, entry("a.json", b"[1", "piece"), entry("1.html", b"one"))
    killed = BatchWriter(archive, STEP, uuid.uuid4())  # stored, never committed, never aborted
    killed.write(entry("a.json", b",WRONG", "piece"))
    killed.write(entry("2.html", b"wrong"))
    killed.close()
    write_batch(archive, STEP, entry("a.json", b",2]", "last"), entry("2.html", b"two"))
    before = len(objects())
    assert services.sweep_segments(archive) == 1
    assert len(objects()) == before - 1
    files = unzip(content_of(finish(archive)))
    assert (files["a.json"], files["1.html"], files["2.html"]) == (b"[1,2]", b"one", b"two")


def test_of_two_tokens_one_wins_and_the_other_leaves_nothing(archive: Archive) -> None:
    write_batch(archive, STEP, entry("a.json", b"[1", "piece"))
    slow, fast = BatchWriter(archive, STEP, uuid.uuid4()), BatchWriter(archive, STEP, uuid.uuid4())
    for batch, text in ((slow, b",slow"), (fast, b",fast")):
        batch.write(entry("a.json", text, "piece"))
        batch.close()
    with transaction.atomic():
        fast.commit()
    with pytest.raises(StaleBatch), transaction.atomic():
        slow.commit()
    slow.abort()
    write_batch(archive, STEP, entry("a.json", b"]", "last"))
    assert Segment.objects.filter(committed=False).count() == 0
    assert len(objects()) == Segment.objects.count()
    assert unzip(content_of(finish(archive)))["a.json"] == b"[1,fast]"


def test_a_segment_swept_while_it_is_written_ends_the_batch(archive: Archive) -> None:
    batch = BatchWriter(archive, STEP, uuid.uuid4())
    batch.write(entry("a.txt", b"x"))
    batch.close()
    services.sweep_segments(archive)
    with pytest.raises(StaleBatch), transaction.atomic():
        batch.commit()
    assert not Member.objects.exists()
    assert objects() == []


def test_a_full_disk_leaves_nothing_and_the_next_try_succeeds(archive: Archive, monkeypatch: Any) -> None:
    fdopen = os.fdopen

    class Full:
        """A file on a disk with room for ten more bytes."""

        def __init__(self, *args: Any) -> None:
            self._file = fdopen(*args)

        def write(self, data: bytes) -> int:
            self._file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self._file.close()

    monkeypatch.setattr(os, "fdopen", Full)
    with pytest.raises(StorageFull), BatchWriter(archive, STEP, uuid.uuid4()) as batch:
        batch.write(entry("a.txt", noise(1000)))
        batch.close()
    monkeypatch.undo()
    assert (Segment.objects.count(), Member.objects.count(), objects()) == (0, 0, [])
    write_batch(archive, STEP, entry("a.txt", b"x"))
    assert unzip(content_of(finish(archive)))["a.txt"] == b"x"


def test_pieces_hold_the_digests_of_what_was_written(archive: Archive) -> None:
    write_batch(archive, STEP, entry("a.txt", b"one", "piece"))
    write_batch(archive, STEP, entry("a.txt", b"two!", "last"))
    assert list(Piece.objects.order_by("number").values_list("plain_length", flat=True)) == [3, 4]
    member = Member.objects.get()
    assert (member.size, member.piece_count, member.is_closed) == (7, 2, True)


def test_unzip_finds_no_fault(archive: Archive, tmp_path: Path) -> None:
    for n in range(3):
        part = "last" if n == 2 else "piece"
        write_batch(archive, STEP, entry("a.bin", noise(70_000, n), part), entry(f"{n}.txt", b"text" * n))
    (tmp_path / "a.zip").write_bytes(content_of(finish(archive)))
    tested = subprocess.run(["unzip", "-t", str(tmp_path / "a.zip")], capture_output=True, text=True, check=False)  # noqa: S607
    assert tested.returncode == 0, tested.stdout
