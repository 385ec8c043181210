"""Watched folders and buckets of every kind: read file by file, what is new once, and nothing taken back that was read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.locations.stores import Missing
from apps.locations.stores.files import FilesStore
from apps.records.models import Conversation, SourceFile, SourceRun, Subject
from apps.records.sources import files as files_reading
from apps.records.sources import keeping, running
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds_clouds import Gcs, patient_no_longer
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import add, put, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
WATCHED = (
    "files_place",
    "s3_place",
    "gcs_place",
    "generations",
    pytest.param("azure_place", marks=pytest.mark.services),
    pytest.param("sftp_place", marks=pytest.mark.services),
)
MAPPING = {"folder": "chats", "path": "{email}/", "format": "auto"}
ADAS = "chats/ada@example.org/one.txt"
HELLO, MORE = "User: How much?\nAssistant: Twelve.\n", "User: How much?\nAssistant: Twelve.\nUser: Thanks\n"


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsStandIn]:
    """A bucket of Google's that keeps every generation; the emulator keeps one."""
    patient_no_longer(monkeypatch)
    server = GcsStandIn()
    yield server
    assert server.violations == []
    server.stop()


@pytest.fixture
def generations(standin: GcsStandIn) -> Place:
    return Place("gcs", Gcs(standin).config)


@pytest.fixture(params=WATCHED)
def watched(request: pytest.FixtureRequest, storage: Path) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.mark.slow
def test_it_is_read_file_by_file_and_what_is_new_once(ada: Subject, ben: Subject, watched: Place) -> None:
    put(watched, ADAS, HELLO)
    put(watched, "chats/ben@example.org/table.csv", "conversation,role,content\nx,user,Hello\n")
    put(watched, "chats/lost.txt", "User: Whose?\n")
    put(watched, "beside/ada@example.org/two.txt", "User: not watched\n")
    source = add(watched, MAPPING)
    counts = read(source)
    assert (counts["conversations"], counts["messages"], counts["skipped"]) == (2, 3, 1)
    assert list(said(ada).values()) == [["How much?", "Twelve."]]
    assert read(source) == {}  # nothing is read again
    put(watched, "chats/ada@example.org/日记 2.txt", "User: Another\n")
    assert read(source) == {"conversations": 1, "messages": 1}
    assert len(said(ben)) == 1
    assert Conversation.objects.count() == 3


def test_a_file_that_is_longer_than_its_place_says_is_not_taken(
    ada: Subject, files_place: Place, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(files_place, ADAS, HELLO)
    monkeypatch.setattr(files_reading, "LARGEST", 1000)
    monkeypatch.setattr(FilesStore, "get", lambda _self, _name: iter(lambda: b"User: and so on\n" * 10, b""))  # no end
    assert read(add(files_place, MAPPING))["skipped"] == 1
    assert said(ada) == {}


@pytest.mark.slow
def test_a_changed_file_adds_what_is_new_and_a_broken_one_is_named(ada: Subject, ben: Subject, watched: Place) -> None:
    put(watched, ADAS, HELLO)
    put(watched, "chats/ben@example.org/one.txt", "User: Hello\n")
    source = add(watched, MAPPING)
    read(source)
    put(watched, ADAS, MORE)
    put(watched, "chats/ada@example.org/bad.zip", "PK\x03\x04 not a ZIP")
    counts = read(source)
    assert (counts["messages"], counts["skipped"]) == (1, 1)
    [trouble] = running.report_of(SourceRun.objects.order_by("-started_at")[0])["troubles"]
    assert "bad.zip" in trouble[0]
    assert list(said(ada).values()) == [["How much?", "Twelve.", "Thanks"]]
    assert read(source) == {}  # the broken one is named once, and read again when it changes
    put(watched, "chats/ada@example.org/bad.zip", "PK\x03\x04 not a ZIP either")
    assert read(source)["skipped"] == 1
    assert Conversation.objects.count() == 2


@pytest.mark.slow
def test_what_is_deleted_there_stays_here_and_what_comes_again_is_not_held_twice(ada: Subject, watched: Place) -> None:
    put(watched, ADAS, HELLO)
    source = add(watched, MAPPING)
    read(source)
    watched.store("").delete([ADAS])
    assert read(source) == {}
    assert list(said(ada).values()) == [["How much?", "Twelve."]]
    put(watched, ADAS, HELLO)
    assert read(source).get("messages", 0) == 0
    assert Conversation.objects.count() == 1


def test_a_file_whose_content_is_replaced_under_its_name_adds_to_what_it_said(
    ada: Subject, files_place: Place, storage: Path
) -> None:
    source = add(files_place, MAPPING)
    for day in ("Monday", "Tuesday"):
        put(files_place, ADAS, f"User: {day}?\n\nAssistant: {day}.\n\nUser: Thanks\n")
        read(source)
    assert list(said(ada).values()) == [["Tuesday?", "Tuesday.", "Thanks"]]
    assert Conversation.objects.get().message_count == 5, "Monday's are there, and thanks are thanks"


def test_what_goes_away_between_the_list_and_the_reading_is_passed_over(
    ada: Subject, watched: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(watched, ADAS, HELLO)
    put(watched, "chats/ada@example.org/two.txt", "User: Another\n")
    source = add(watched, MAPPING)
    store = type(watched.store(""))
    real = store.get

    def gone(self: Any, name: str) -> Iterator[bytes]:
        if name.endswith("one.txt"):
            watched.store("").delete([ADAS])
        return real(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(store, "get", gone)
        assert read(source)["conversations"] == 1
    with pytest.raises(Missing):
        list(watched.store("").get(ADAS))
    assert list(said(ada).values()) == [["Another"]]


def test_of_a_deleted_object_no_older_generation_is_read(
    ada: Subject, standin: GcsStandIn, generations: Place, storage: Path
) -> None:
    for text in ("User: First\n", "User: Second\n"):
        standin.put(ADAS, text.encode())
    standin.put("chats/ada@example.org/two.txt", b"User: Gone\n").is_live = False
    assert read(add(generations, MAPPING))["conversations"] == 1
    assert list(said(ada).values()) == [["Second"]]


def test_a_preview_shows_the_first_messages_and_what_is_wrong_and_stores_nothing(ada: Subject, watched: Place) -> None:
    location = Location(kind=watched.kind, name="Exports")
    save_location(location, config=watched.config, actor=Actor.system())
    nobody = "No file is there whose path names a person."
    assert keeping.preview(location, MAPPING, actor=Actor.system()) == ([], [nobody])
    put(watched, ADAS, HELLO)
    put(watched, "chats/ada@example.org/bad.zip", "PK\x03\x04 not a ZIP")
    put(watched, "chats/lost.txt", "User: Whose?\n")
    put(watched, "beside/ada@example.org/two.txt", "User: not watched\n")
    lines, problems = keeping.preview(location, MAPPING, actor=Actor.system())
    assert [(line.person, line.role, line.text) for line in lines] == [
        ("ada@example.org", "user", "How much?"),
        ("ada@example.org", "assistant", "Twelve."),
    ]
    assert ["bad.zip" in one for one in problems] == [True, False]
    assert problems[1] == "lost.txt: Its path names no person."
    assert (Conversation.objects.count(), SourceFile.objects.count()) == (0, 0)
    assert keeping.preview(location, MAPPING | {"path": "{email}.json"}, actor=Actor.system()) == ([], [nobody])
