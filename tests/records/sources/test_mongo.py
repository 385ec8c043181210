"""A collection of messages, read with the real driver from a strict stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, ObjectId

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records.models import Subject
from apps.records.sources import keeping, mongo
from tests.locations.stores.conftest import Place
from tests.mongodb import MongoDB, Running
from tests.records.sources.test_sources import add, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
START = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
MAPPING = {
    "table": "messages", "person": "author.email", "person_kind": "email", "conversation": "chat", "role": "who",
    "text": "words", "time": "at", "title": "title", "id": "_id", "watermark": "at",
}  # fmt: skip


class Chats:
    def __init__(self, data: MongoDB, place: Place) -> None:
        self.data, self.place = data, place
        self.number = 0

    def say(self, email: str, chat: str, words: str, *, who: str = "user") -> None:
        self.number += 1
        at = START + timedelta(hours=self.number)
        document: dict[str, Any] = {
            "_id": ObjectId.from_datetime(at),
            "author": {"email": email},
            "chat": chat,
            "at": at,
        }
        self.data.collection("shop", "messages").append(
            document | {"who": who, "words": words, "title": f"About {chat}"}
        )


@pytest.fixture
def chats(storage: Path) -> Iterator[Chats]:
    data = MongoDB()
    with Running(data) as server:
        config = {"hosts": server.address, "database": "shop", "user": "", "password": "", "tls": "off"}
        yield Chats(data, Place("mongodb", config))


@pytest.mark.parametrize("watermark", ["at", ""])
def test_a_collection_comes_in_once_and_what_is_new_is_added(
    chats: Chats, ada: Subject, ben: Subject, monkeypatch: pytest.MonkeyPatch, watermark: str
) -> None:
    monkeypatch.setattr(mongo, "DOCUMENTS_A_PAGE", 2)
    chats.say("ada@example.org", "c1", "How much?")
    chats.say("ben@example.org", "c2", "Hello")
    chats.say("ada@example.org", "c1", "Twelve.", who="assistant")
    source = add(chats.place, MAPPING | {"watermark": watermark})
    counts = read(source)
    assert (counts["messages"], counts.get("skipped", 0)) == (3, 0)
    assert said(ada) == {"About c1": ["How much?", "Twelve."]}
    assert said(ben) == {"About c2": ["Hello"]}
    chats.say("ada@example.org", "c1", "Thanks")
    assert read(source)["messages"] == 1
    assert said(ada) == {"About c1": ["How much?", "Twelve.", "Thanks"]}


@pytest.mark.parametrize(
    "ids",
    [
        [Binary.from_uuid(UUID(int=one)) for one in (9, 3, 7, 5, 1)],
        list("icgea"),
        [Binary.from_uuid(UUID(int=9)), "c", ObjectId.from_datetime(START), 5, 1],
    ],
    ids=["uuids", "text", "mixed"],
)
@pytest.mark.parametrize("watermark", ["at", ""])
def test_documents_whose_ids_are_uuids_or_text_are_all_read_and_new_ones_found(
    chats: Chats, ada: Subject, monkeypatch: pytest.MonkeyPatch, watermark: str, ids: list[Any]
) -> None:
    monkeypatch.setattr(mongo, "DOCUMENTS_A_PAGE", 2)
    documents = chats.data.collection("shop", "messages")
    for number, name in enumerate(ids[:4]):
        chats.say("ada@example.org", f"c{number}", "Hello")
        documents[-1] |= {"_id": name, "at": START}
    source = add(chats.place, MAPPING | {"watermark": watermark})
    assert read(source)["conversations"] == 4
    chats.say("ada@example.org", "c9", "Later, with a smaller id")
    documents[-1] |= {"_id": ids[4]}
    assert read(source)["conversations"] == 1


def test_a_document_of_a_clock_that_is_wrong_hides_nothing_and_one_without_a_time_is_said(
    chats: Chats, ada: Subject
) -> None:
    documents = chats.data.collection("shop", "messages")
    chats.say("ada@example.org", "c1", "In years")
    documents[-1]["at"] = datetime(2099, 1, 1, tzinfo=UTC)
    source = add(chats.place, MAPPING)
    read(source)
    chats.say("ada@example.org", "c2", "Now")
    documents[-1]["at"] = datetime.now(UTC)
    chats.say("ada@example.org", "c3", "When?")
    del documents[-1]["at"]
    counts = read(source)
    assert (counts["conversations"], counts["skipped"]) == (1, 1)
    assert sorted(said(ada)) == ["About c1", "About c2"]


def test_a_preview_says_which_fields_are_there(chats: Chats, ada: Subject) -> None:
    chats.say("ada@example.org", "c1", "How much?")
    location = Location(kind="mongodb", name="Chat product")
    save_location(location, config=chats.place.config, actor=Actor.system())
    [line], problems = keeping.preview(location, MAPPING, actor=Actor.system())
    assert (line.person, line.text, problems) == ("ada@example.org", "How much?", [])
    _lines, problems = keeping.preview(location, MAPPING | {"text": "body"}, actor=Actor.system())
    assert "author.email" in problems[0]
