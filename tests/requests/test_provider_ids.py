"""The provider is asked for what was noted: ids that came with imported objects, and those of the person."""

from __future__ import annotations

import json

import pytest

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import selectors as records
from apps.records import services, subjects
from apps.records.models import Conversation
from apps.requests.models import Status
from tests.contracts.openai_standin import KEY, OpenAIStandIn
from tests.requests.conftest import approved, filed, run, states

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def provider():
    server = OpenAIStandIn()
    yield server
    server.stop()
    assert server.violations == []


def imported(subject, *objects):
    text = "\n".join(json.dumps(one) for one in objects)
    return services.import_text(subject, text, actor=Actor.system())


def response(number, **more):
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}
    return {
        "object": "response",
        "id": f"resp_{number}",
        "created_at": 1_750_000_000 + number,  # they are read in the order of time
        "input": "May he?",
        "output": [said],
    } | more


def add_provider(server):
    config = {"api_key": KEY, "base_url": server.address, "identity": "user_id", "all_ids_recorded": True}
    save_location(Location(kind="openai", name="OpenAI", country="USA"), config=config, actor=Actor.system())


def test_ids_are_read_from_what_was_imported(ada, ben):
    imported(ada, response(1), response(2, conversation={"id": "conv_1"}))
    imported(ben, response(9))
    assert records.provider_ids(ada) == [
        ("openai_response", "resp_1"), ("openai_response", "resp_2"), ("openai_conversation", "conv_1"),
    ]  # fmt: skip


def test_ids_of_what_a_schedule_brought_in_are_read_too(ada):
    imported(ada, response(1))
    Conversation.objects.update(source="sync")
    assert records.provider_ids(ada) == [("openai_response", "resp_1")]


@pytest.mark.slow
def test_an_erasure_reaches_the_providers_copies_by_their_ids_and_leaves_ben(ada, ben, provider):
    add_provider(provider)
    for number in (1, 2, 9):
        provider.add_response(number)
    provider.add_conversation("1", items=2)
    provider.add_file("7", b"x")
    imported(ada, response(1), response(2, conversation={"id": "conv_1"}))
    imported(ben, response(9))
    subjects.add_identity(ada, "openai_file", "file-7", actor=Actor.system())
    request = run(approved(ada))
    assert (request.status, states(request)["OpenAI"]) == (Status.COMPLETED, "done")
    assert list(provider.objects) == ["/responses/resp_9"]
    assert request.steps.get(location__kind="openai").counts == {"responses": 2, "conversations": 3, "files": 1}


@pytest.mark.slow
def test_a_busy_provider_is_left_alone_for_as_long_as_it_asks(ada, provider):
    from django.utils import timezone

    add_provider(provider)
    provider.add_response(1)
    imported(ada, response(1))
    provider.busy = 1000
    request = run(filed(ada))
    step = request.steps.get(location__kind="openai")
    assert (step.state, step.reason) == ("blocked", "unreachable")
    assert step.next_try_at is not None
    assert 20 < (step.next_try_at - timezone.now()).total_seconds() <= 31
