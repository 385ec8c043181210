"""One request to places that know people by different things, and keep different things: each is asked in its own way.

Three real places: letters (files by e-mail address), a shop (a table by user id), calls (files by telephone). Whatever
one of them holds under a value that is Ada's elsewhere is somebody else's, and stays.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.archives.selectors import read_range
from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import subjects
from apps.records.models import Subject
from apps.requests import selectors
from apps.requests.access import folder_of
from apps.requests.models import PrivacyRequest, Status
from tests.contracts.databases import SqlPlace, sql_place
from tests.contracts.places import FilesPlace
from tests.requests.conftest import ADA, BEN, approved, filed, run, step_at, there
from tests.requests.test_erasure import result

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True, databases=["default", "keys"])]
LETTERS, SHOP, CALLS = "Letters", "Shop", "Calls"
NOT_HERS = {"letters": ("4", "030 4"), "calls": (ADA, "4")}  # her other values, as names where they mean nobody


@dataclass
class Places:
    letters: FilesPlace
    shop: SqlPlace
    calls: FilesPlace

    def of_ada(self) -> dict[str, int]:
        """Count what each of them holds of hers, past the connectors."""
        return {
            LETTERS: len(list(self.letters.root.glob(f"{ADA}/*"))),
            SHOP: len(self.shop.run("SELECT id FROM notes WHERE user_id = 4")),
            CALLS: len(list(self.calls.root.glob("030 4/*"))),
        }

    def of_others(self) -> list[str]:
        files = [
            f"{place.root.name}/{name}"
            for place, hers in ((self.letters, ADA), (self.calls, "030 4"))
            for name in place.everything()
            if not name.startswith(f"{hers}/")
        ]
        return sorted([*files, *(row[0] for row in self.shop.run("SELECT id FROM notes WHERE user_id <> 4"))])


def added(name: str, kind: str, config: dict[str, Any]) -> None:
    save_location(Location(kind=kind, name=name, country="Ireland"), config=config, actor=Actor.system())


@pytest.fixture
def places(ada: Subject, ben: Subject, tmp_path: Path) -> Places:
    for subject, number in ((ada, "4"), (ben, "42")):
        subjects.add_identity(subject, "user_id", number, actor=Actor.system())
        subjects.add_identity(subject, "phone", f"030 {number}", actor=Actor.system())
    letters, calls = FilesPlace(tmp_path / "letters"), FilesPlace(tmp_path / "calls")
    shop = sql_place("sqlite", None, tmp_path, only_notes=True)
    for n in range(3):
        letters.put(f"{ADA}/{n}.txt", b"dear Ada %d" % n)
    for n in range(2):
        calls.put(f"030 4/{n}.wav", b"hello %d" % n)
    for root, names in NOT_HERS.items():
        for name in (*names, {"letters": BEN, "calls": "030 42"}[root]):
            {"letters": letters, "calls": calls}[root].put(f"{name}/0.txt", b"of somebody else")
    notes = [("a0", 4), ("a1", 4), ("a2", 4), ("a3", 4), ("b0", 42)]
    shop.insert("notes", [{"id": i, "user_id": who, "body": f"note {i}", "photo": None} for i, who in notes])
    added(LETTERS, "files", {"root": str(letters.root), "templates": ["{email}/"]})
    added(SHOP, "sql", shop.config)
    added(CALLS, "files", {"root": str(calls.root), "templates": ["{phone}/"]})
    return Places(letters, shop, calls)


def test_one_erasure_reaches_each_place_by_what_that_place_knows(ada: Subject, ben: Subject, places: Places) -> None:
    others = places.of_others()
    assert len(others) == 7
    assert places.of_ada() == {LETTERS: 3, SHOP: 4, CALLS: 2}
    request = run(approved(ada))
    assert request.status == Status.COMPLETED
    assert places.of_ada() == {LETTERS: 0, SHOP: 0, CALLS: 0}
    assert places.of_others() == others
    assert {name: result(request, name)["erased"] for name in (LETTERS, SHOP, CALLS)} == {LETTERS: 3, SHOP: 4, CALLS: 2}


def test_of_whom_a_place_knows_nothing_it_says_so_and_the_others_are_emptied(ben: Subject, places: Places) -> None:
    phone = there(subjects.held_identity(ben, "phone", "030 42"))
    subjects.remove_identity(ben, phone.pk, actor=Actor.system())
    request = run(approved(ben))
    assert request.status == Status.PARTLY_COMPLETED
    said = {
        name: (result(request, name)["outcome"], result(request, name)["reason"]) for name in (LETTERS, SHOP, CALLS)
    }
    assert said == {LETTERS: ("erased", None), SHOP: ("erased", None), CALLS: ("needs_person", "no_identity")}
    assert [name for name in places.of_others() if BEN in name or name == "b0"] == []
    assert "calls/030 42/0.txt" in places.of_others()


def opened(request: PrivacyRequest) -> zipfile.ZipFile:
    [archive] = selectors.archives_of(request)
    return zipfile.ZipFile(BytesIO(b"".join(read_range(archive, 0, there(archive.size)))))


def test_an_archive_has_a_folder_and_a_part_of_the_manifest_for_each_place_with_all_that_stands_there(
    ada: Subject, ben: Subject, places: Places
) -> None:
    request = run(filed(ada))
    assert request.status == Status.COMPLETED
    archived = opened(request)
    manifest = json.loads(archived.read("manifest.json"))
    assert manifest["missing"] == []
    assert {file["name"] for file in manifest["files"]} == set(archived.namelist()) - {
        "manifest.json", "manifest.json.sig",
    }  # fmt: skip
    listed: dict[str, list[str]] = {}
    for name in (LETTERS, SHOP, CALLS):
        folder = folder_of(there(step_at(request, name).location))
        files = {file["name"]: file for file in manifest["files"] if file["name"].startswith(f"{folder}/")}
        for path, file in files.items():
            data = archived.read(path)
            assert [piece["sha256"] for piece in file["pieces"]] == _digests(data, file["pieces"])
            assert file["size"] == len(data) == sum(piece["length"] for piece in file["pieces"])
        listed[name] = sorted(path.removeprefix(f"{folder}/") for path in files)
        assert f"{folder}/" in archived.read("disclosure.html").decode() + archived.read("index.html").decode()
    lists = {LETTERS: "index.jsonl", SHOP: "01-notes.jsonl", CALLS: "index.jsonl"}
    contents = {name: _lines(archived, request, name, lists[name]) for name in lists}
    assert {name: len(lines) for name, lines in contents.items()} == places.of_ada()
    assert {line["name"] for line in contents[LETTERS]} == {f"{ADA}/{number}.txt" for number in range(3)}
    assert {line["id"] for line in contents[SHOP]} == {"a0", "a1", "a2", "a3"}
    assert {line["name"] for line in contents[CALLS]} == {"030 4/0.wav", "030 4/1.wav"}
    assert len(listed[LETTERS]) == 1 + 3, "an index, and each file"
    assert len(listed[CALLS]) == 1 + 2
    assert listed[SHOP] == ["01-notes.jsonl", "index.jsonl"]
    assert {name: step_at(request, name).done_count for name in (LETTERS, SHOP, CALLS)} == places.of_ada()


def _digests(data: bytes, pieces: list[dict[str, Any]]) -> list[str]:
    begun = [sum(piece["length"] for piece in pieces[:number]) for number in range(len(pieces))]
    return [
        hashlib.sha256(data[at : at + piece["length"]]).hexdigest() for at, piece in zip(begun, pieces, strict=True)
    ]


def _lines(archived: zipfile.ZipFile, request: PrivacyRequest, name: str, file: str) -> list[dict[str, Any]]:
    folder = folder_of(there(step_at(request, name).location))
    return [orjson.loads(line) for line in archived.read(f"{folder}/{file}").splitlines()]
