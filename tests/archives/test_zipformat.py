"""The structure of the ZIP, also where its numbers outgrow 32 and 16 bits."""

from __future__ import annotations

import io
import subprocess
import uuid
import zipfile
import zlib
from argparse import Namespace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from apps.archives import layout, zipformat
from apps.archives.models import Archive, Mark
from apps.archives.selectors import read_range
from apps.archives.zipformat import DEFLATED, STORED, File
from apps.audit.selectors import archive_key_text
from tests.archives.conftest import content_of, entry, finish, unzip, write_batch
from verify import habeas_verify

NOW = zipformat.dos_time(datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC))
GIB = 1 << 30


def test_a_file_beyond_4_gib_and_one_behind_it_are_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    large = File(b"large.bin", STORED, 0, 5 * GIB, 5 * GIB)
    small = File(b"small.txt", STORED, zlib.crc32(b"behind"), 6, 6)
    with path.open("wb") as file:  # sparse: five GiB of nothing take no room
        file.write(zipformat.local_header(large, NOW))
        file.seek(5 * GIB, io.SEEK_CUR)
        second = file.tell()
        file.write(zipformat.local_header(small, NOW) + b"behind")
        start = file.tell()
        central = zipformat.central_header(large, NOW, 0) + zipformat.central_header(small, NOW, second)
        file.write(central + zipformat.end_records(2, len(central), start))
    with zipfile.ZipFile(path) as opened:
        assert opened.read("small.txt") == b"behind"
        assert opened.getinfo("large.bin").file_size == 5 * GIB
        assert opened.getinfo("small.txt").header_offset == second
        assert opened.getinfo("small.txt").date_time == (2026, 11, 22, 10, 0, 0)
        with opened.open("large.bin") as large_file:
            assert large_file.read(10) == bytes(10)
    tested = subprocess.run(["unzip", "-t", str(path), "small.txt"], capture_output=True, text=True, check=False)  # noqa: S607
    assert tested.returncode == 0, tested.stdout
    assert second == zipformat.local_size(large) + 5 * GIB
    assert len(central) == zipformat.central_size(large, 0) + zipformat.central_size(small, second)


@pytest.mark.slow
def test_more_than_65535_files_are_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    parts, central, position = [], [], 0
    for number in range(70_000):
        file = File(f"{number:06}.txt".encode(), STORED, 0, 0, 0)
        parts.append(zipformat.local_header(file, NOW))
        central.append(zipformat.central_header(file, NOW, position))
        position += len(parts[-1])
    directory = b"".join(central)
    path.write_bytes(b"".join(parts) + directory + zipformat.end_records(70_000, len(directory), position))
    with zipfile.ZipFile(path) as opened:
        assert len(opened.namelist()) == 70_000
        assert opened.read("069999.txt") == b""
    tested = subprocess.run(["unzip", "-tq", str(path)], capture_output=True, text=True, check=False)  # noqa: S607
    assert tested.returncode == 0, tested.stdout


def test_the_verifier_writes_the_same_headers() -> None:
    sizes = (0, 1, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 7 * GIB)
    for size, packed, offset in product(sizes, sizes, sizes):
        fields = (b"a/b.txt", DEFLATED, 0xDEADBEEF, packed, size)
        ours, theirs = File(*fields), habeas_verify.File(*fields)
        assert zipformat.local_header(ours, NOW) == habeas_verify.local_header(theirs, NOW)
        assert zipformat.central_header(ours, NOW, offset) == habeas_verify.central_header(theirs, NOW, offset)
        assert len(zipformat.central_header(ours, NOW, offset)) == zipformat.central_size(ours, offset)
        assert len(zipformat.local_header(ours, NOW)) == zipformat.local_size(ours)
    for count, size, start in product((2, 0xFFFE, 0xFFFF, 70_000), sizes, sizes):
        assert zipformat.end_records(count, size, start) == habeas_verify.end_records(count, size, start)
    assert habeas_verify.dos_time("2026-11-22T10:00:01Z") == NOW


@pytest.mark.django_db(databases=["default", "keys"])
def test_an_archive_with_wide_numbers_verifies_and_a_changed_one_does_not(
    archive: Archive, tmp_path: Path, monkeypatch: Any
) -> None:
    """The limit of 32 bits lowered to 1,000 in both programs: the ZIP64 fields of a small archive."""
    monkeypatch.setattr(zipformat, "_LIMIT_32", 1000)
    monkeypatch.setattr(habeas_verify, "LIMIT_32", 1000)
    write_batch(archive, uuid.uuid4(), entry("large.bin", bytes(range(256)) * 40), entry("small.txt", b"small"))
    data = content_of(finish(archive))
    assert data.count(b"PK\6\6") == data.count(b"PK\6\7") == 1
    path, keys = tmp_path / "a.zip", habeas_verify.read_keys([archive_key_text()])
    path.write_bytes(data)
    assert "files" in habeas_verify.check_archive(path, keys, Namespace())
    directory = data.index(b"PK\1\2")
    for place in (*range(30, 60), *range(directory, len(data))):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(habeas_verify.Bad):
            habeas_verify.check_archive(path, keys, Namespace())


@pytest.mark.slow
@pytest.mark.django_db(databases=["default", "keys"])
def test_ranges_of_every_size_are_cut_from_the_same_bytes(archive: Archive, monkeypatch: Any) -> None:
    monkeypatch.setattr(layout, "MARK_EVERY", 7)
    step = uuid.uuid4()
    for batch in range(3):
        part = "last" if batch == 2 else "piece"
        files = [entry(f"{batch}-{n}.txt", f"{n} ".encode() * n) for n in range(20)]
        write_batch(archive, step, entry("all.json", b"0123456789" * 40, part), *files)
    finish(archive)
    whole, size = content_of(archive), archive.size or 0
    assert len(whole) == size
    assert len(unzip(whole)) == archive.member_count
    assert Mark.objects.count() == -(-(archive.member_count or 0) // 7)
    for start in (0, 1, 29, 30, 31, 500, 1001, archive.central_start or 0, size - 100, size - 22, size - 1):
        for length in (1, 2, 3, 17, 64, 333, 1000, 4097, size):
            stop = min(start + length, size)
            assert b"".join(read_range(archive, start, stop)) == whole[start:stop], (start, stop)
    for start in range(0, size, 97):
        assert b"".join(read_range(archive, start, start + 97)) == whole[start : start + 97]
    assert b"".join(read_range(archive, size, size + 5)) == b""
