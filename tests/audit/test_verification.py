"""Whatever is changed, dropped, swapped, added, cut or rolled back, in the database or the folder: it is found.

Each change is tried on a log that was good just before, so that it is the change which is found.
"""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from apps.audit import exports, merkle, notes, publishing, selectors, sequencer, services, tiles, verification
from apps.audit.errors import LogDamaged
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from apps.sealing.signatures import SigningKey
from tests.audit.conftest import past_the_triggers
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_without_commits")]

SIZE = 300  # a full tile and 44 hashes more


@pytest.fixture
def good_log(write) -> Checkpoint:
    write(150)
    services.sequence()
    write(149)
    checkpoint = services.sequence()
    assert checkpoint.size == SIZE == verification.verify_everything().size
    return checkpoint


def change(statement: str, *values: Any) -> None:
    """Change the database as its administrator can: past the triggers."""
    with past_the_triggers(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount != 0


def assert_damaged(match: str) -> None:
    with pytest.raises(LogDamaged, match=match):
        verification.verify_everything()


def test_a_good_log_is_good_in_every_way(good_log, tiles_dir, tmp_path, capsys):
    call_command("verify_audit_log")
    assert capsys.readouterr().out == f"good: {SIZE} entries give the signed root\n"
    result = run_verifier("log", tiles_dir, tmp_path)
    assert (result.code, result.err) == (0, "") and f"{SIZE} entries" in result.out
    assert run_verifier("log", tiles_dir, tmp_path, key=None).code == 3


def test_a_published_file_that_is_another_or_missing_is_found_on_the_site_too(good_log, tiles_dir):
    tile = tiles_dir / "tile/0/000"
    good = tile.read_bytes()
    tile.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert_damaged("tile/0/000 differs from the log")
    tile.unlink()
    assert_damaged("tile/0/000 cannot be read")
    tile.write_bytes(good)
    assert verification.verify_everything().size == SIZE


def test_entries_that_wait_are_counted(good_log, write, capsys):
    write(2)
    call_command("verify_audit_log")
    assert "2 not signed yet" in capsys.readouterr().out


def test_a_log_without_a_signature_is_not_good(write):
    write(1)
    assert_damaged("no checkpoint")


class TestDatabase:
    def test_a_changed_entry(self, good_log):
        entry = Leaf.objects.get(index=270).entry
        change(
            "UPDATE audit_entry SET data = %s WHERE id = %s",
            bytes(entry.data).replace(b"step.done", b"step.dune"),
            entry.pk,
        )
        assert_damaged("entry 270 is not the one")

    @pytest.mark.parametrize("column", ["event", "about", "actor", "role"])
    def test_a_column_that_says_something_else_than_the_entry(self, good_log, column):
        entry = Leaf.objects.get(index=7).entry
        change(f"UPDATE audit_entry SET {column} = 'x' WHERE id = %s", entry.pk)
        assert_damaged("entry 7 is listed")

    def test_a_time_that_says_something_else_than_the_entry(self, good_log):
        later = Entry.objects.latest("pk").created_at
        change("UPDATE audit_entry SET created_at = %s WHERE id = %s", later, Leaf.objects.get(index=7).entry_id)
        assert_damaged("entry 7 is listed")

    def test_a_dropped_entry_in_the_middle(self, good_log):
        change('DELETE FROM audit_leaf WHERE "index" = 17')
        assert_damaged("1 are missing")

    def test_entries_dropped_at_the_end(self, good_log):
        change('DELETE FROM audit_leaf WHERE "index" > 290')
        assert_damaged("does not give the root")

    def test_a_rewritten_end_with_all_its_hashes(self, good_log):
        entry = Leaf.objects.get(index=299).entry
        data = bytes(entry.data).replace(b'"erased":148', b'"erased":147')
        change("UPDATE audit_entry SET data = %s WHERE id = %s", data, entry.pk)
        change('UPDATE audit_leaf SET leaf_hash = %s WHERE "index" = 299', merkle.leaf_hash(data))
        assert_damaged("does not give the root")

    def test_swapped_entries(self, good_log):
        one, other = Leaf.objects.filter(index__in=(10, 11)).order_by("index")
        change('DELETE FROM audit_leaf WHERE "index" IN (10, 11)')
        Leaf.objects.bulk_create(
            [
                Leaf(index=10, entry=other.entry, leaf_hash=other.leaf_hash),
                Leaf(index=11, entry=one.entry, leaf_hash=one.leaf_hash),
            ]
        )
        assert_damaged("tile 0 of level 0")

    def test_a_duplicated_entry(self, good_log):
        with pytest.raises(DatabaseError), transaction.atomic():
            Leaf.objects.create(index=300, entry=Leaf.objects.get(index=5).entry, leaf_hash=b"x" * 32)

    def test_a_hidden_entry(self, good_log, write):
        write(1)
        Pending.objects.all().delete()
        assert_damaged("neither in the log nor waiting")

    @pytest.mark.parametrize(("level", "column"), [(0, "hashes"), (0, "root")])
    def test_a_changed_tile(self, good_log, level, column):
        tile = Tile.objects.filter(level=level).earliest("index")
        changed = bytearray(getattr(tile, column))
        changed[-1] ^= 1
        change(f"UPDATE audit_tile SET {column} = %s WHERE id = %s", bytes(changed), tile.pk)
        assert_damaged("tile|root")

    def test_a_dropped_tile(self, good_log):
        change('DELETE FROM audit_tile WHERE "index" = 0')
        assert_damaged("missing|does not give the root|does not fit")

    def test_a_full_tile_that_is_missing_is_never_guessed(self, good_log):
        assert len(tiles.read_hashes(0, 0, 256)) == 256
        with pytest.raises(LogDamaged, match="tile 7 of level 0 is missing"):
            tiles.read_hashes(0, 7, 256)

    def test_an_older_checkpoint_that_was_rewritten(self, good_log):
        change("UPDATE audit_checkpoint SET root = %s WHERE size = 151", b"x" * 32)
        assert_damaged("first 151 entries")

    def test_the_newest_checkpoint_with_another_text(self, good_log):
        change("UPDATE audit_checkpoint SET root = %s WHERE size = 300", b"x" * 32)
        assert_damaged("differs from its signed text")

    def test_the_newest_checkpoint_signed_by_somebody_else(self, good_log):
        said = notes.read_checkpoint(good_log.note)
        change(
            "UPDATE audit_checkpoint SET note = %s WHERE size = 300", notes.sign_checkpoint(said, SigningKey(b"m" * 32))
        )
        assert_damaged("not signed by this key")

    def test_a_database_that_was_rolled_back(self, good_log):
        change("DELETE FROM audit_checkpoint WHERE size = 300")
        change('DELETE FROM audit_leaf WHERE "index" >= 151')
        change("DELETE FROM audit_tile")
        assert_damaged("rolled back")


class TestKeptCheckpoint:
    """Database and folder rolled back together: only what somebody else kept can tell."""

    @pytest.fixture
    def kept(self, good_log, tmp_path) -> Path:
        path = tmp_path / "kept"
        path.write_text(good_log.note)
        return path

    def test_a_log_that_goes_on_is_good(self, kept, write, tiles_dir, tmp_path):
        call_command("verify_audit_log", checkpoint=kept)
        assert run_verifier("log", tiles_dir, tmp_path, "--checkpoint", str(kept)).code == 0
        write(100)
        services.sequence()
        call_command("verify_audit_log", checkpoint=kept)
        assert run_verifier("log", tiles_dir, tmp_path, "--checkpoint", str(kept)).code == 0

    @pytest.fixture
    def begun_anew(self, kept, tiles_dir, write):
        """The same installation, the same keys, another past."""
        for table in ("audit_checkpoint", "audit_tile", "audit_leaf", "audit_entry"):
            change(f"DELETE FROM {table}")
        shutil.rmtree(tiles_dir)

    def test_a_shorter_log_is_rolled_back(self, begun_anew, kept, write, tiles_dir, tmp_path):
        write(100)
        services.sequence()
        verification.verify_everything()
        with pytest.raises(CommandError, match="rolled back"):
            call_command("verify_audit_log", checkpoint=kept)
        assert "rolled back" in run_verifier("log", tiles_dir, tmp_path, "--checkpoint", str(kept)).err

    @pytest.mark.slow
    @pytest.mark.parametrize("count", [299, 320])
    def test_a_longer_log_with_another_past_is_rewritten(self, begun_anew, kept, write, tiles_dir, tmp_path, count):
        write(count)
        services.sequence()
        verification.verify_everything()
        with pytest.raises(CommandError, match="rewritten"):
            call_command("verify_audit_log", checkpoint=kept)
        assert "rewritten" in run_verifier("log", tiles_dir, tmp_path, "--checkpoint", str(kept)).err

    def test_a_file_that_is_no_checkpoint(self, good_log, tmp_path):
        with pytest.raises(CommandError, match="cannot read"):
            call_command("verify_audit_log", checkpoint=tmp_path / "nothing")
        (tmp_path / "other").write_text("no checkpoint\n")
        with pytest.raises(CommandError, match="bad: the checkpoint given"):
            call_command("verify_audit_log", checkpoint=tmp_path / "other")


class TestFolder:
    def files(self, tiles_dir: Path) -> list[Path]:
        return sorted(path for path in tiles_dir.rglob("*") if path.is_file() and path.name != ".lock")

    def test_the_folder_holds_what_the_format_asks_and_nothing_else(self, good_log, tiles_dir):
        assert [str(path.relative_to(tiles_dir)) for path in self.files(tiles_dir)] == [
            "checkpoint",
            "tile/0/000",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/44",
        ]

    @pytest.mark.slow
    def test_a_changed_byte_anywhere_is_found(self, good_log, tiles_dir, tmp_path):
        for path in self.files(tiles_dir):
            good = path.read_bytes()
            for at in {0, 1, len(good) // 3, len(good) // 2, len(good) - 1}:
                changed = bytearray(good)
                changed[at] ^= 4
                path.write_bytes(changed)
                with pytest.raises(LogDamaged):
                    verification.verify_everything()
                result = run_verifier("log", tiles_dir, tmp_path)
                assert result.code == 1 and result.err.startswith("bad: ") and result.err.count("\n") == 1, (path, at)
            path.write_bytes(good)
        assert run_verifier("log", tiles_dir, tmp_path).code == 0

    @pytest.mark.slow
    def test_every_byte_of_a_small_log(self, write, tiles_dir, tmp_path):
        write(1)
        services.sequence()
        for path in self.files(tiles_dir):
            good = path.read_bytes()
            for at in range(len(good)):
                path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
                assert run_verifier("log", tiles_dir, tmp_path).code == 1, (path, at)
            for cut in (0, 1, len(good) - 1):
                path.write_bytes(good[:cut])
                assert run_verifier("log", tiles_dir, tmp_path).code == 1, (path, cut)
            path.write_bytes(good + b"\n")
            assert run_verifier("log", tiles_dir, tmp_path).code == 1, path
            path.write_bytes(good)
        assert run_verifier("log", tiles_dir, tmp_path).code == 0

    @pytest.mark.slow
    def test_a_missing_file_is_found(self, good_log, tiles_dir, tmp_path):
        for path in self.files(tiles_dir):
            moved = path.rename(tmp_path / "moved")
            with pytest.raises(LogDamaged):
                verification.verify_everything()
            assert run_verifier("log", tiles_dir, tmp_path).code == 1
            moved.rename(path)
        assert verification.verify_everything().size == SIZE

    def test_swapped_bundles_are_found(self, good_log, tiles_dir, tmp_path):
        one, other = tiles_dir / "tile/entries/000", tiles_dir / "tile/entries/001.p/44"
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        assert run_verifier("log", tiles_dir, tmp_path).code == 1

    def test_a_bundle_with_an_entry_too_many_or_too_few_is_found(self, good_log, tiles_dir, tmp_path):
        bundle = tiles_dir / "tile/entries/001.p/44"
        good = bundle.read_bytes()
        first = 2 + int.from_bytes(good[:2])
        for changed in (good[first:], good + good[:first], good + b"\x00", good + b"\x00\x05ab"):
            bundle.write_bytes(changed)
            assert run_verifier("log", tiles_dir, tmp_path).code == 1

    def test_an_older_checkpoint_over_a_longer_log_is_still_good(self, good_log, tiles_dir, tmp_path, write):
        """What somebody sees who copies the folder while the log grows: partial tiles gave way to full ones."""
        write(300)
        services.sequence()
        (tiles_dir / "checkpoint").write_text(good_log.note)
        assert not (tiles_dir / "tile/0/001.p").exists()
        assert run_verifier("log", tiles_dir, tmp_path).code == 0

    def test_a_log_of_full_tiles_only_is_good(self, write, tiles_dir, tmp_path):
        write(511)
        services.sequence()
        assert verification.verify_everything().size == 512
        assert run_verifier("log", tiles_dir, tmp_path).code == 0

    def test_an_empty_log_is_good(self, tiles_dir, tmp_path):
        empty = notes.CheckpointText(selectors.verifier_key().name, 0, merkle.EMPTY_ROOT)
        (tiles_dir / "checkpoint").write_text(notes.sign_checkpoint(empty, sequencer.signing_key()))
        assert run_verifier("log", tiles_dir, tmp_path).code == 0

    def test_a_zip_of_the_folder_is_as_good(self, good_log, tiles_dir, tmp_path):
        with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
            for path in self.files(tiles_dir):
                archive.write(path, path.relative_to(tiles_dir))
        assert run_verifier("log", tmp_path / "log.zip", tmp_path).code == 0
        with zipfile.ZipFile(tmp_path / "half.zip", "w") as archive:
            archive.write(tiles_dir / "checkpoint", "checkpoint")
        assert run_verifier("log", tmp_path / "half.zip", tmp_path).code == 1

    def test_a_folder_that_lags_behind_is_good_as_far_as_it_goes(self, good_log, tiles_dir, write, tmp_path):
        copy = shutil.copytree(tiles_dir, tmp_path / "copy")
        write(100)
        services.sequence()
        shutil.rmtree(tiles_dir)
        shutil.copytree(copy, tiles_dir)
        assert verification.verify_everything().size == SIZE + 100


class TestExports:
    def jsonl(self, chunks) -> bytes:
        return b"".join(chunks)

    def test_a_whole_export_is_good_and_every_change_is_bad(self, good_log, tmp_path):
        whole = self.jsonl(exports.whole_log(good_log))
        assert run_verifier("log", whole, tmp_path).code == 0
        lines = whole.splitlines(keepends=True)
        assert len(lines) == SIZE + 1
        bad = [
            lines[:-1],  # cut
            [*lines, lines[-1]],  # duplicated
            [lines[0], lines[2], lines[1], *lines[3:]],  # swapped
            [lines[0], *lines[2:]],  # dropped
            lines[1:],  # no header
            [lines[0].replace(b"true", b"false"), *lines[1:]],  # a selection without proofs
            [lines[0].replace(b"true", b"1"), *lines[1:]],
            [lines[0].replace(b"@v1", b"@v2"), *lines[1:]],
            [*lines[:5], lines[5].replace(b"step.done", b"step.dune"), *lines[6:]],
            [*lines[:5], b"\xff\n", *lines[6:]],
            [*lines[:5], b"[]\n", *lines[6:]],
            [*lines[:5], b'{"entry":1,"index":4}\n', *lines[6:]],
        ]
        for changed in bad:
            result = run_verifier("log", b"".join(changed), tmp_path)
            assert result.code == 1 and result.err.count("\n") == 1

    def test_a_selection_is_good_and_every_change_is_bad(self, good_log, tmp_path):
        found = Entry.objects.filter(pk__in=Leaf.objects.filter(index__in=(3, 255, 256, 299)).values("entry_id"))
        text = self.jsonl(exports.selection(found.select_related("leaf"), good_log))
        result = run_verifier("log", text, tmp_path)
        assert result.code == 0 and "4 entries, each proven" in result.out
        lines = text.splitlines(keepends=True)
        assert run_verifier("log", b"".join([lines[0], lines[3]]), tmp_path).code == 0
        for old, new in [
            (b"step.done", b"step.dune"),
            (b'"index":299', b'"index":298'),
            (b'"index":299', b'"index":"299"'),
        ]:
            assert run_verifier("log", b"".join([lines[0], lines[4].replace(old, new)]), tmp_path).code == 1
        assert run_verifier("log", lines[0] + b'{"entry":"","index":0,"proof":[1]}\n', tmp_path).code == 1

    def test_what_is_not_signed_yet_is_left_out(self, good_log, write):
        write(3)
        found = Entry.objects.select_related("leaf")
        assert found.count() == SIZE + 3
        assert self.jsonl(exports.selection(found, good_log)).count(b"\n") == SIZE + 1

    def test_a_spreadsheet_has_one_line_an_entry_and_no_formula(self, good_log, write):
        write(1)
        rows = list(
            csv.reader(io.StringIO(b"".join(exports.spreadsheet(Entry.objects.select_related("leaf"))).decode()))
        )
        assert rows[0] == list(exports.CSV_HEADER)
        assert len(rows) == SIZE + 2
        assert sorted(int(row[0]) for row in rows[1:-1]) == list(range(SIZE)) and rows[-1][0] == ""
        assert not any(cell[:1] in set("=+-@\t\r\0") for row in rows for cell in row if cell)


def test_files_that_are_not_of_the_log(tmp_path):
    for content in (b"", b"\xff\xfe", b"{}", b'{"format": "other", "checkpoint": "", "whole": true}\n', b"PK\x03\x04"):
        assert run_verifier("log", content, tmp_path, key="k").code == 1
    assert "cannot read" in run_verifier("log", tmp_path / "nothing", tmp_path).err
    assert run_verifier("receipt", tmp_path / "nothing", tmp_path).code == 1


class TestQuickLook:
    def test_newest_entries_first_as_far_as_the_time_goes(self, good_log):
        report = verification.verify_newest(0)
        assert (report.first, report.size, report.is_complete) == (256, SIZE, False)
        assert verification.verify_newest(0, before=report.first).is_complete
        assert verification.verify_newest(60).is_complete

    def test_a_change_further_back_is_found_when_it_is_come_to(self, good_log):
        change('UPDATE audit_leaf SET leaf_hash = %s WHERE "index" = 5', b"x" * 32)
        assert verification.verify_newest(0).first == 256
        with pytest.raises(LogDamaged):
            verification.verify_newest(60)


def test_keys_are_printed(capsys):
    call_command("audit_log_key", "log")
    assert capsys.readouterr().out.strip() == selectors.public_key_text()
    call_command("audit_log_key")
    log, archives = capsys.readouterr().out.splitlines()
    assert log.split() == ["log", selectors.public_key_text()]
    assert archives.split() == ["archives", selectors.archive_key_text()]
    assert notes.VerifierKey.parse(archives.split()[1]).name == "testserver/archives"


def test_fingerprints_are_those_of_the_keys():
    assert selectors.fingerprints()[0] == sha256(selectors.verifier_key().public).hexdigest()
    assert len(set(selectors.fingerprints())) == 2


def test_a_key_may_be_a_file(good_log, tiles_dir, tmp_path):
    (tmp_path / "key").write_text(selectors.public_key_text() + "\n")
    assert run_verifier("log", tiles_dir, tmp_path, key=str(tmp_path / "key")).code == 0
    shortened = selectors.public_key_text().rpartition("+")[0] + "+" + notes.encode_base64(b"\x01short")
    assert run_verifier("log", tiles_dir, tmp_path, key=shortened).code == 1


def test_the_folder_is_written_with_whole_files_only(good_log, tiles_dir):
    assert not list((tiles_dir / ".tmp").iterdir())
    published = publishing.published()
    assert published is not None and published.size == SIZE
