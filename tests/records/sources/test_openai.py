"""Stored chat completions, from a stand-in that checks every request and answer by OpenAI's own description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.audit.actors import Actor
from apps.locations.errors import Refused
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records.models import Conversation, Source, Subject
from apps.records.sources import keeping, openai
from tests.contracts.openai_standin import CREATED, KEY, OpenAIStandIn
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import add, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
MAPPING = {"metadata_key": "email", "person_kind": "email"}


def hour(number: int) -> int:
    return CREATED + 3600 * number


@pytest.fixture
def provider(storage: Path) -> Iterator[OpenAIStandIn]:
    server = OpenAIStandIn()
    yield server
    server.stop()


def place(server: OpenAIStandIn) -> Place:
    config = {"api_key": KEY, "base_url": server.address, "metadata_key": "email", "identity": "email"}
    return Place("openai", config)


def test_completions_come_in_once_for_whom_their_metadata_name(
    provider: OpenAIStandIn, ada: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "COMPLETIONS_A_BATCH", 2)
    for number in range(3):
        provider.add_completion(number, {"email": "ada@example.org"}, f"Answer {number}", created=hour(number))
    provider.add_completion(3, {"email": "carl@example.org"}, "Another's", created=hour(3))
    provider.add_completion(4, {}, "Nobody's", created=hour(4))
    source = add(place(provider), MAPPING)
    assert read(source) == {"conversations": 3, "messages": 6, "unknown_people": 1, "skipped": 1}
    assert next(iter(said(ada).values()))[0] == "Asked."
    provider.add_completion(5, {"email": "ada@example.org"}, "Later", created=hour(5))
    assert read(source) == {"conversations": 1, "messages": 2, "skipped": 1}  # the last one lies in the overlap
    assert Conversation.objects.count() == 4


def test_one_that_was_deleted_at_the_provider_is_no_end_of_the_reading(provider: OpenAIStandIn, ada: Subject) -> None:
    last = provider.add_completion(0, {"email": "ada@example.org"}, "First")
    provider.add_completion(1, {"email": "ada@example.org"}, "Second", created=hour(1))
    source = add(place(provider), MAPPING)
    read(source)
    assert Source.objects.get().cursor["after"] == last
    del provider.objects[f"/chat/completions/{last}"]
    provider.add_completion(2, {"email": "ada@example.org"}, "Third", created=hour(2))
    assert read(source)["conversations"] == 1
    assert Conversation.objects.count() == 3


def test_one_that_took_long_and_comes_before_those_that_were_read_is_found(
    provider: OpenAIStandIn, ada: Subject
) -> None:
    provider.add_completion(0, {"email": "ada@example.org"}, "Long ago")
    provider.add_completion(1, {"email": "ada@example.org"}, "Quick", created=hour(2))
    source = add(place(provider), MAPPING)
    assert read(source)["conversations"] == 2
    provider.add_completion(2, {"email": "ada@example.org"}, "Slow", created=hour(2) - 300)
    assert read(source) == {"conversations": 1, "messages": 2, "already_held": 1}


def test_a_preview_shows_the_first_messages_and_whose_they_are_and_stores_nothing(
    provider: OpenAIStandIn, ada: Subject
) -> None:
    location = Location(kind="openai", name="OpenAI")
    save_location(location, config=place(provider).config, actor=Actor.system())
    assert keeping.preview(location, MAPPING, actor=Actor.system()) == ([], ["There are no stored chat completions."])
    provider.add_completion(0, {"email": "ada@example.org"}, "Twelve.")
    provider.add_completion(1, {}, "Nobody's")
    lines, problems = keeping.preview(location, MAPPING, actor=Actor.system())
    assert [(line.person, line.text) for line in lines] == [
        ("ada@example.org", "Asked."),
        ("ada@example.org", "Twelve."),
    ]
    assert problems == ["chatcmpl-1: Its metadata name no person."]
    assert (Conversation.objects.count(), Source.objects.count()) == (0, 0)
    save_location(location, config=place(provider).config | {"api_key": "sk-wrong"}, actor=Actor.system())
    with pytest.raises(Refused):
        keeping.preview(location, MAPPING, actor=Actor.system())
