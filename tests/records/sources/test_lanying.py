"""Histories of Lanying IM, from the strict stand-in of its server API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.connectors import lanying as provider
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import subjects
from apps.records.models import Conversation, Source, Subject
from apps.records.sources import keeping, lanying, running
from tests.contracts import lanying_standin
from tests.contracts.lanying_standin import APP, BOT, TOKEN, LanyingStandIn
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import add, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
MAPPING = {"assistants": str(BOT), "person_kind": "lanying_user"}


@pytest.fixture
def server(storage: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LanyingStandIn]:
    now = int(timezone.now().timestamp() * 1000)
    monkeypatch.setattr(lanying_standin, "STARTED", now - 86_400_000)
    server = LanyingStandIn()
    for uid, name in ((4, "Ada"), (42, "Ben"), (7, "Carl"), (BOT, "Bot")):
        server.add_user(uid, name)
    server.add_message(4, BOT, "How much?")
    server.add_message(BOT, 4, "Twelve.")
    server.add_message(4, 42, "Ada to Ben, which is nobody else's")
    server.add_message(42, BOT, "Ben asks")
    server.add_message(7, BOT, "Carl asks")
    yield server
    server.stop()
    assert server.violations == []


@pytest.fixture
def people(ada: Subject, ben: Subject) -> None:
    for subject, uid in ((ada, "4"), (ben, "42")):
        subjects.add_identity(subject, "lanying_user", uid, actor=Actor.system())


def place(server: LanyingStandIn) -> Place:
    config = {"api_endpoint": server.address, "app_id": APP, "access_token": TOKEN, "identity": "lanying_user"}
    return Place("lanying", config)


@pytest.mark.slow
def test_histories_come_in_once_and_what_is_new_is_added(
    server: LanyingStandIn, people: None, ada: Subject, ben: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "PAGE", 2)
    monkeypatch.setattr(lanying, "USERS_A_BATCH", 1)
    source = add(place(server), MAPPING)
    assert read(source) == {"conversations": 2, "messages": 3, "unknown_people": 1}
    assert list(said(ada).values()) == [["How much?", "Twelve."]]
    assert list(said(ben).values()) == [["Ben asks"]]
    assert not any(asked.headers.get("user_id") == "7" for asked in server.asked), "an unknown person's is not opened"
    server.asked.clear()
    assert read(source).get("conversations", 0) == 0
    reads = [asked for asked in server.asked if asked.path == "/message/conversation"]
    assert len(reads) == 2, "one look for each, at what is newest"
    monkeypatch.setattr(lanying_standin, "STARTED", lanying_standin.STARTED + 86_400_000)
    server.add_message(4, BOT, "Thanks")
    assert read(source)["messages"] == 1
    assert list(said(ada).values()) == [["How much?", "Twelve.", "Thanks"]]
    assert Conversation.objects.count() == 2


def test_a_run_that_was_broken_off_goes_on_with_the_next_user(
    server: LanyingStandIn, people: None, ada: Subject, ben: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanying, "USERS_A_BATCH", 1)
    source = add(place(server), MAPPING)
    assert running.run_source(source.pk, seconds=0.0), "there is more"
    assert list(said(ada).values()) == [["How much?", "Twelve."]]
    assert Source.objects.get(pk=source.pk).cursor["behind"] == 4
    server.asked.clear()
    read(source)
    assert not any(asked.headers.get("user_id") == "4" for asked in server.asked)
    assert list(said(ben).values()) == [["Ben asks"]]


def test_a_preview_shows_the_first_messages_and_stores_nothing(server: LanyingStandIn, people: None) -> None:
    location = Location(kind="lanying", name="Messenger")
    save_location(location, config=place(server).config, actor=Actor.system())
    lines, problems = keeping.preview(location, MAPPING, actor=Actor.system())
    assert [(line.person, line.role, line.text) for line in lines[:2]] == [
        ("4", "user", "How much?"),
        ("4", "assistant", "Twelve."),
    ]
    assert (problems, Conversation.objects.count()) == ([], 0)
