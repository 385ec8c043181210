"""A collection of messages, read with the real driver from a strict stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

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


def test_a_preview_says_which_fields_are_there(chats: Chats, ada: Subject) -> None:
    chats.say("ada@example.org", "c1", "How much?")
    location = Location(kind="mongodb", name="Chat product")
    save_location(location, config=chats.place.config, actor=Actor.system())
    [line], problems = keeping.preview(location, MAPPING, actor=Actor.system())
    assert (line.person, line.text, problems) == ("ada@example.org", "How much?", [])
    _lines, problems = keeping.preview(location, MAPPING | {"text": "body"}, actor=Actor.system())
    assert "author.email" in problems[0]
