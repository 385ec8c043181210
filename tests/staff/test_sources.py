"""Sources in the staff site: a place, a mapping, a preview, then runs with what they could not take; others may not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.locations.models import Location
from apps.locations.services import config_of, save_location, switch_location
from apps.records import tasks
from apps.records.models import Conversation, Source
from apps.records.sources import running
from tests.contracts.openai_standin import KEY, OpenAIStandIn
from tests.staff.conftest import Desk, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
PAGE = "/admin/records/source/"


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "poke_source", lambda source_id: None)


@pytest.fixture
def chats(own_places: None, tmp_path: Path, settings: Any) -> Location:
    path = tmp_path / "chats.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE messages (id INTEGER, email TEXT, chat TEXT, who TEXT, words TEXT)")
        rows = [
            (1, "ada@example.org", "c1", "user", "How much?"),
            (2, "carl@example.org", "c2", "user", "Hello"),
            (3, "", "c2", "user", "x"),
        ]
        connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", rows)
    config = {"dialect": "sqlite", "database": str(path)}
    return save_location(Location(kind="sql", name="Chat product"), config=config, actor=Actor.system())


def values(**more: str) -> dict[str, str]:
    base = {
        "name": "Chats",
        "every": "hourly",
        "map-table": "messages",
        "map-person": "email",
        "map-person_kind": "email",
    }
    return base | {"map-conversation": "chat", "map-text": "words", "map-role": "who", "map-id": "id"} | more


def test_a_table_is_mapped_tried_saved_and_read(at_roots, chats, ada):
    assert "Nothing is brought in by a schedule" in at_roots.read(PAGE)
    assert "Chat product" in at_roots.read(f"{PAGE}add/")
    address = f"{PAGE}add/?place={chats.pk}"
    text = text_of(at_roots.post(address, values(**{"map-zone": "Mars/Olympus", "try": "1"})))
    assert "There is no time zone of this name." in text
    text = text_of(at_roots.post(address, values(**{"map-text": "body", "try": "1"})))
    assert "There is no column body" in text
    text = text_of(at_roots.post(address, values(**{"try": "1"})))
    assert "How much?" in text
    assert not Source.objects.exists()
    assert Entry.objects.filter(event="source.previewed").count() == 1
    at_roots.post(address, values(**{"map-text": "body"}))
    assert not Source.objects.exists()  # nothing that cannot be read is saved
    at_roots.post(address, values())
    source = Source.objects.get()
    running.run_source(source.pk)
    text = at_roots.read(f"{PAGE}{source.pk}/")
    assert "conversations with something new: 1" in text
    assert "carl@example.org" in text
    assert "It names no person." in text
    assert Conversation.objects.get().subject_id == ada.pk
    at_roots.post(f"{PAGE}{source.pk}/change/", {"every": "daily", "adds_people": "on"})
    at_roots.post(f"{PAGE}{source.pk}/again/")
    running.run_source(source.pk)
    assert Conversation.objects.count() == 2
    at_roots.post(f"{PAGE}{source.pk}/stop/")
    source.refresh_from_db()
    assert (source.every, source.adds_people, source.is_active) == ("daily", True, False)
    assert "Stopped" in at_roots.read(PAGE)


def added(kind: str, config: dict[str, Any]) -> str:
    """Add a place and return the address under which a source is made of it."""
    place = save_location(Location(kind=kind, name="Chat product"), config=config, actor=Actor.system())
    return f"{PAGE}add/?place={place.pk}"


def tried_and_saved(desk: Desk, address: str, mapping: dict[str, str], wrong: dict[str, str], said: str) -> None:
    """Try a mapping that finds nothing, then one that does: it is shown before it is saved, and only then saved."""
    form = {"name": "Chats", "every": "daily"} | {f"map-{name}": value for name, value in mapping.items()}
    text = text_of(desk.post(address, form | {f"map-{name}": value for name, value in wrong.items()} | {"try": "1"}))
    assert said in text
    assert "Twelve." not in text
    text = text_of(desk.post(address, form | {"try": "1"}))
    assert "Twelve." in text
    assert "ada@example.org" in text
    assert (Source.objects.count(), Conversation.objects.count()) == (0, 0)
    desk.post(address, form | {f"map-{name}": value for name, value in wrong.items()})
    assert not Source.objects.exists()
    desk.post(address, form)
    assert Source.objects.get().mapping.items() >= mapping.items()


def test_a_watched_folder_is_shown_before_it_is_saved(at_roots, ada, tmp_path):
    folder = tmp_path / "root" / "chats" / "ada@example.org"
    folder.mkdir(parents=True)
    (folder / "one.txt").write_text("User: How much?\nAssistant: Twelve.\n")
    address = added("files", {"root": str(tmp_path / "root"), "templates": ["chats/{email}/"]})
    mapping = {"folder": "chats", "path": "{email}/", "format": "auto"}
    wrong = {"folder": "elsewhere"}
    tried_and_saved(at_roots, address, mapping, wrong, "No file is there whose path names a person.")


def test_a_providers_completions_are_shown_before_they_are_saved(at_roots, ada):
    server = OpenAIStandIn()
    try:
        server.add_completion(1, {"email": "ada@example.org"}, "Twelve.")
        config = {"api_key": KEY, "base_url": server.address, "metadata_key": "email", "identity": "email"}
        mapping = {"metadata_key": "email", "person_kind": "email"}
        wrong = {"metadata_key": "owner"}
        tried_and_saved(at_roots, added("openai", config), mapping, wrong, "Its metadata name no person.")
    finally:
        server.stop()
    assert server.violations == []


@pytest.mark.parametrize("who", ["at_cleos", "at_dans"])
def test_officers_have_no_part_in_it(who, request, chats):
    desk = request.getfixturevalue(who)
    assert desk.get(PAGE).status_code == 403
    assert desk.post(f"{PAGE}add/?place={chats.pk}", values(**{"try": "1"})).status_code == 403
    assert not Entry.objects.filter(event="source.previewed").exists()


def test_seeing_what_is_in_a_place_takes_a_fresh_sign_in(at_roots, chats):
    at_roots.let_time_pass(3600)
    answer = at_roots.post(f"{PAGE}add/?place={chats.pk}", values(**{"try": "1"}))
    assert (answer.status_code, "reauthenticate" in answer.headers["Location"]) == (302, True)


def test_what_requests_would_not_find_is_said_before_it_is_saved_and_after(at_roots, chats, ada):
    address = f"{PAGE}add/?place={chats.pk}"
    words = "Requests do not look into messages: the place names –."
    assert words in text_of(at_roots.post(address, values(**{"try": "1"})))
    at_roots.post(address, values())
    source = Source.objects.get()
    assert words in at_roots.read(f"{PAGE}{source.pk}/")
    rule = {"table": "messages", "columns": ["email"], "kind": "email"}
    save_location(chats, config=config_of(chats) | {"tables": [rule]}, actor=Actor.system())
    assert "Requests do not look" not in at_roots.read(f"{PAGE}{source.pk}/")


def test_a_place_that_is_switched_off_or_says_no_is_named_on_the_page_of_the_source(at_roots, chats, ada, tmp_path):
    at_roots.post(f"{PAGE}add/?place={chats.pk}", values())
    page = f"{PAGE}{Source.objects.get().pk}/"
    running.run_source(Source.objects.get().pk)
    assert "the place said" not in at_roots.read(page)
    with sqlite3.connect(tmp_path / "chats.sqlite3") as connection:
        connection.execute("DROP TABLE messages")
    at_roots.post(f"{page}read/")
    running.run_source(Source.objects.get().pk)
    assert "the place said: A table that the settings name is not there." in at_roots.read(page)
    switch_location(chats, enabled=False, actor=Actor.system())
    assert "The place is switched off" in at_roots.read(PAGE)
    assert "nothing is read from it until it is switched on" in at_roots.read(page)
