"""What every place of files or objects must do, tried on each kind against a real one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
import pytest

from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused
from tests.contracts.places import Place

SCOPE = Scope()
NAMES = [
    "note.txt",
    "with space.txt",
    "日记 2026.md",
    "a/b/c/deep.bin",
    "quote'\"&.csv",
    "percent%20.txt",
    "-dash",
    "..hidden",
]


def exported(place: Place, who: Identity, *, stop_after: int = 10**9) -> tuple[dict[str, bytes], dict[str, str]]:
    """Export as the engine does, beginning anew with the last cursor after every `stop_after` entries."""
    files: dict[str, bytes] = defaultdict(bytes)
    ended: set[str] = set()
    cursor = ""
    while True:
        taken = 0
        for entry in place.connector.export(who, SCOPE, cursor):
            assert entry.name not in ended, "written after its end"
            files[entry.name] += b"".join(entry.chunks)
            cursor = entry.cursor
            if entry.part != "piece":
                ended.add(entry.name)
            taken += 1
            if taken == stop_after:
                break
        if taken < stop_after:
            break
    assert ended == set(files)
    index = [orjson.loads(line) for line in files.pop("index.jsonl", b"").splitlines()]
    return dict(files), {line["name"]: line["file"] for line in index if "file" in line}


def erase(place: Place, who: Identity) -> int:
    return sum(progress.erased for progress in place.connector.erase(who, SCOPE, ""))


def put_some(place: Place) -> None:
    for name in NAMES:
        place.put(f"users/4/{name}", f"Ada: {name}".encode())
        place.put(f"users/42/{name}", f"Ben: {name}".encode())
    place.put("mail/ada@example.org.json", b"{}")
    place.put("mail/ada@example.org.json.old", b"not hers by the template")


def test_nothing_there_is_nothing_found_and_nothing_remaining(place: Place, ada: Identity) -> None:
    assert list(place.connector.find(ada, SCOPE)) == []
    assert exported(place, ada) == ({}, {})
    assert erase(place, ada) == 0
    assert place.connector.remaining(ada, SCOPE).count == 0


def test_find_sees_the_person_and_nobody_whose_id_begins_alike(place: Place, ada: Identity) -> None:
    put_some(place)
    assert sorted(item.name for item in place.connector.find(ada, SCOPE)) == sorted(
        [f"users/4/{name}" for name in NAMES] + ["mail/ada@example.org.json"]
    )


@pytest.mark.parametrize("stop_after", [1, 2, 5, 10**9])
def test_export_gives_every_byte_also_when_it_is_cut_after_any_entry(
    place: Place, ada: Identity, stop_after: int
) -> None:
    put_some(place)
    files, names = exported(place, ada, stop_after=stop_after)
    assert {name: files[names[f"users/4/{name}"]] for name in NAMES} == {
        name: f"Ada: {name}".encode() for name in NAMES
    }
    assert len(files) == len(NAMES) + 1
    assert all(name.isascii() and "ada" not in name for name in files)


def test_erasure_takes_everything_of_ada_and_leaves_ben_the_same(place: Place, ada: Identity, ben: Identity) -> None:
    put_some(place)
    bens = {
        name: digest
        for name, digest in place.everything().items()
        if not name.startswith(("users/4/", "mail/ada@example.org.json#"))
    }
    bens.pop("mail/ada@example.org.json", None)
    assert place.connector.remaining(ada, SCOPE).count >= len(NAMES)
    assert erase(place, ada) >= len(NAMES) + 1
    assert place.connector.remaining(ada, SCOPE).count == 0
    assert place.everything() == bens
    assert place.connector.remaining(ben, SCOPE).count == len(NAMES)
    assert erase(place, ada) == 0, "a repeat finds nothing"


@pytest.mark.thorough
def test_an_erasure_cut_off_in_the_middle_is_finished_by_a_repeat(place: Place, ada: Identity) -> None:
    for number in range(1100):
        place.put(f"users/4/{number}.txt", b"x")
    next(iter(place.connector.erase(ada, SCOPE, "")))
    place.put("users/4/appeared.txt", b"late")
    assert 0 < place.connector.remaining(ada, SCOPE).count < 1101
    erase(place, ada)
    assert place.connector.remaining(ada, SCOPE).count == 0
    assert place.everything() == {}


def test_a_person_whom_the_place_cannot_know_is_a_case_for_a_person(place: Place, ada: Identity) -> None:
    unknown = Identity(ada.subject_id, None, None, ())
    with pytest.raises(Refused):
        list(place.connector.find(unknown, SCOPE))


@pytest.mark.parametrize("value", ["..", ".", "", "4/../42", "a/b", "a\x00b", "{user_id}", "a\u202eb"])
def test_an_identity_that_could_lead_elsewhere_is_refused(place: Place, ada: Identity, value: str) -> None:
    put_some(place)
    with pytest.raises(Refused):
        erase(place, Identity(ada.subject_id, None, None, (("user_id", value),)))


def test_the_connection_test_answers(place: Any) -> None:
    assert place.connector.check().is_reachable
