"""What only a file system can do to us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.locations.connectors.files import FilesConnector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.places import FilesPlace

SCOPE = Scope()


@pytest.fixture
def files(tmp_path: Path) -> FilesPlace:
    place = FilesPlace(tmp_path / "root")
    place.put("users/4/note.txt", b"Ada")
    place.put("users/42/note.txt", b"Ben")
    return place


def erase(place: FilesPlace, who: Identity) -> None:
    list(place.connector.erase(who, SCOPE, ""))


def test_a_link_is_removed_and_what_it_points_to_stays(files: FilesPlace, ada: Identity) -> None:
    (files.root / "users/4/link").symlink_to(files.root / "users/42/note.txt")
    (files.root / "users/4/folder").symlink_to(files.root / "users/42")
    exported = b"".join(chunk for entry in files.connector.export(ada, SCOPE, "") for chunk in entry.chunks)
    assert b"Ada" in exported
    assert b"Ben" not in exported
    erase(files, ada)
    assert list(files.everything()) == ["users/42/note.txt"]


def test_a_person_folder_that_is_a_link_is_refused(files: FilesPlace, ada: Identity) -> None:
    (files.root / "users/4").rename(files.root / "elsewhere")
    (files.root / "users/4").symlink_to(files.root / "users/42")
    with pytest.raises(Refused):
        erase(files, ada)
    assert (files.root / "users/42/note.txt").exists()


def test_a_file_with_another_name_elsewhere_is_kept_and_said(files: FilesPlace, ada: Identity) -> None:
    os.link(files.root / "users/4/note.txt", files.root / "shared.txt")
    assert files.connector.preflight(ada, SCOPE)[0].reason == Reason.HARD_LINK
    erase(files, ada)
    assert files.connector.remaining(ada, SCOPE).reason == Reason.HARD_LINK
    (files.root / "shared.txt").unlink()
    erase(files, ada)
    assert files.connector.remaining(ada, SCOPE).count == 0


def test_two_names_inside_the_folder_are_both_removed(files: FilesPlace, ada: Identity) -> None:
    os.link(files.root / "users/4/note.txt", files.root / "users/4/again.txt")
    erase(files, ada)
    assert files.connector.remaining(ada, SCOPE).count == 0


def test_folders_left_empty_go_and_those_above_stay(files: FilesPlace, ada: Identity) -> None:
    (files.root / "users/4/a/b").mkdir(parents=True)
    erase(files, ada)
    assert not (files.root / "users/4").exists()
    assert (files.root / "users/42").exists()


def test_a_large_file_crosses_batches_in_pieces(
    files: FilesPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.locations.connectors.files.PIECE_SIZE", 7)
    data = bytes(range(40))
    files.put("users/4/large.bin", data)
    read, cursor = b"", ""
    while True:
        entries = files.connector.export(ada, SCOPE, cursor)
        entry = next(entries, None)
        if entry is None:
            break
        read += b"".join(entry.chunks) if entry.name.endswith(".bin") else b""
        cursor = entry.cursor
    assert read == data


def test_a_file_that_goes_away_between_batches_is_ended_and_said_to_be_gone(
    files: FilesPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.locations.connectors.files.PIECE_SIZE", 7)
    files.put("users/4/large.bin", bytes(range(40)))
    entries = files.connector.export(ada, SCOPE, "")
    first = next(iter(entries))
    assert (first.part, b"".join(first.chunks)) == ("piece", bytes(range(7)))
    (files.root / "users/4/large.bin").unlink()
    rest = list(files.connector.export(ada, SCOPE, first.cursor))
    assert [entry.part for entry in rest if entry.name == first.name] == ["last"]
    index = b"".join(chunk for entry in rest if entry.name == "index.jsonl" for chunk in entry.chunks)
    assert index.count(b'"gone":true') == 1
    assert b"users/4/note.txt" in index
    assert list(files.connector.export(ada, SCOPE, rest[-1].cursor)) == []


def test_a_file_that_becomes_shorter_while_it_is_read_is_read_again(files: FilesPlace, ada: Identity) -> None:
    files.put("users/4/large.bin", bytes(1_000))
    entries = files.connector.export(ada, SCOPE, "")
    entry = next(iter(entries))
    os.truncate(files.root / "users/4/large.bin", 10)
    with pytest.raises(Unavailable):
        list(entry.chunks)
    again = files.connector.export(ada, SCOPE, "")
    assert len(b"".join(next(iter(again)).chunks)) == 10


def test_a_name_that_is_no_text_is_exported_and_erased(files: FilesPlace, ada: Identity) -> None:
    Path(os.fsdecode(os.fsencode(files.root / "users/4") + b"/\xff.txt")).write_bytes(b"odd")
    read = [(entry.cursor, b"".join(entry.chunks)) for entry in files.connector.export(ada, SCOPE, "")]
    assert b"odd" in b"".join(content for _cursor, content in read)
    assert list(files.connector.export(ada, SCOPE, read[-1][0])) == []
    erase(files, ada)
    assert files.connector.remaining(ada, SCOPE).count == 0


def test_a_folder_that_is_not_there_is_unavailable_and_not_empty(tmp_path: Path, ada: Identity) -> None:
    gone = FilesConnector({"root": str(tmp_path / "gone"), "templates": ["users/{user_id}/"]})
    with pytest.raises(Unavailable):
        gone.remaining(ada, SCOPE)


def test_an_inventory_finds_scattered_files(files: FilesPlace, ada: Identity) -> None:
    for name in ("free/a", "free/b"):
        files.put(name, name.encode())
    files.put("keys.jsonl", b'{"key": "free/a", "user_id": "4"}\n{"key": "free/b", "user_id": "42"}\n')
    config = {"root": str(files.root), "templates": [], "inventory": "keys.jsonl", "inventory_kind": "user_id"}
    connector = FilesConnector(config)
    assert [item.name for item in connector.find(ada, SCOPE)] == ["free/a"]
    list(connector.erase(ada, SCOPE, ""))
    assert connector.remaining(ada, SCOPE).count == 0
    assert (files.root / "free/b").exists()
    (files.root / "keys.jsonl").unlink()
    with pytest.raises(Refused):
        connector.remaining(ada, SCOPE)
