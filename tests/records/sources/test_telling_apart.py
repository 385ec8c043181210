"""Conversations and messages are told apart whatever their ids are, and also where there are none."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text as sql

from apps.locations.sql import engine_of
from apps.records import selectors
from apps.records.models import Conversation, Subject
from apps.records.sources import running
from apps.records.sources import sql as sql_reading
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import COLUMNS, DATABASES, Chats, add, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
IDS = [UUID(f"{number:02x}ff2f60-9c1d-4e8a-b7a1-0123456789ab") for number in (0xC0, 0x10, 0xC1, 0xFE)]
TYPES = {"postgresql": "uuid", "mysql": "binary(16)", "sqlite": "blob"}
WITHOUT_IDS = COLUMNS | {"id": ""}


@pytest.fixture(autouse=True)
def _own_storage(storage: Path) -> None:
    """Files of conversations go into a folder of the test's own."""


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("watermark", ["", "number"])
def test_conversations_that_are_called_by_uuids_each_come_in_and_the_reading_ends(
    ada: Subject, place: Place, monkeypatch: pytest.MonkeyPatch, watermark: str
) -> None:
    monkeypatch.setattr(sql_reading, "CONVERSATIONS_A_BATCH", 1)
    kind = TYPES[place.config["dialect"]]
    with engine_of(place.config).begin() as connection:
        connection.execute(
            sql(f"CREATE TABLE said (id {kind} PRIMARY KEY, email varchar(99), chat {kind}, words text, number int)")
        )
        for chat in IDS:
            value = chat if kind == "uuid" else chat.bytes
            connection.execute(
                sql("INSERT INTO said VALUES (:it, 'ada@example.org', :it, :words, 1)"),
                {"it": value, "words": f"In {chat}"},
            )
    mapping = {"table": "said", "person": "email", "person_kind": "email", "conversation": "chat", "text": "words"}
    source = add(place, mapping | {"id": "id", "title": "words", "watermark": watermark})
    for _piece in range(20):
        if not running.run_source(source.pk, seconds=0):
            break
    else:
        pytest.fail("it does not come to an end")
    assert sorted(words for [words] in said(ada).values()) == sorted(f"In {chat}" for chat in IDS)
    assert read(source).get("messages", 0) == 0
    assert Conversation.objects.count() == len(IDS)


def test_conversations_of_two_places_that_are_called_alike_are_two(ada: Subject, place: Place, tmp_path: Path) -> None:
    (tmp_path / "other.sqlite3").touch()
    other = Place("sql", {"dialect": "sqlite", "database": str(tmp_path / "other.sqlite3")})
    unique = str(IDS[0])
    for where, words in ((place, "Here"), (other, "There")):
        chats = Chats(where)
        chats.say("ada@example.org", "42", words)
        chats.say("ada@example.org", unique, "The same in both")
        read(add(where, COLUMNS))
    assert Conversation.objects.count() == 3, "what has an id of its own in the world comes in once"
    pages = [selectors.read_conversation(ada, row.pk) for row in Conversation.objects.all()]
    assert sorted(page.turns[0].parts[0].text for page in pages) == ["Here", "The same in both", "There"]


def test_messages_without_ids_are_told_apart_by_what_they_say(ada: Subject, place: Place) -> None:
    chats = Chats(place)
    for minutes, words in ((10, "One"), (20, "Two"), (30, "Two"), (40, "Three")):
        chats.say("ada@example.org", "c1", words, minutes=minutes)
    source = add(place, WITHOUT_IDS)
    assert read(source)["messages"] == 4
    chats.run("DELETE FROM chats WHERE words = 'One'")
    chats.say("ada@example.org", "c1", "Between", minutes=35)
    assert read(source)["messages"] == 1, "what is gone there shifts nothing here"
    assert said(ada) == {"About c1": ["One", "Two", "Two", "Between", "Three"]}
    assert read(source).get("messages", 0) == 0


def test_what_is_deleted_in_a_table_stays_here_and_what_is_changed_there_changes_here(
    ada: Subject, place: Place
) -> None:
    chats = Chats(place)
    for minutes, words in ((10, "One"), (20, "Two"), (30, "Three")):
        chats.say("ada@example.org", "c1", words, minutes=minutes)
    source = add(place, COLUMNS)
    read(source)
    chats.run("DELETE FROM chats WHERE id = 1")
    chats.run("UPDATE chats SET words = 'Three, corrected' WHERE id = 3")
    read(source)
    assert said(ada) == {"About c1": ["One", "Two", "Three, corrected"]}
