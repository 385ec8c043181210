"""Lanying IM, against a strict stand-in made after its reference."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from apps.locations.connectors.lanying import LanyingConnector
from apps.locations.contract import Identity
from apps.locations.errors import Refused
from apps.locations.reasons import Reason
from tests.contracts.lanying_standin import APP, BOT, TOKEN, LanyingStandIn
from tests.contracts.outside import SCOPE, erase, every_lost_deletion, exported, lines_of


@pytest.fixture
def server() -> Iterator[LanyingStandIn]:
    server = LanyingStandIn()
    yield server
    server.stop()
    assert server.violations == []


@pytest.fixture
def connector(server: LanyingStandIn) -> LanyingConnector:
    config = {"api_endpoint": server.address, "app_id": APP, "access_token": TOKEN, "identity": "user_id"}
    return LanyingConnector(config)


@pytest.fixture
def ada() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("user_id", "4"), ("lanying_conversation", "77")))


def fill(server: LanyingStandIn) -> None:
    server.users.clear()
    server.history.clear()
    server.add_user(4, "Ada")
    server.add_user(42, "Ben")
    for number in range(3):
        server.add_message(4, BOT, f"Ada asks {number}")
        server.add_message(BOT, 4, f"The bot answers {number}")
    server.add_message(4, 42, "Ada to Ben")
    server.add_message(42, 4, "Ben to Ada")
    server.add_message(42, BOT, "Ben asks")
    server.add_message(4, 77, "an old conversation")
    server.forgotten.add((4, 77))


def test_every_conversation_is_read_with_those_that_are_not_recent_any_more(server, connector, ada):
    fill(server)
    lines = lines_of(exported(connector, ada, stop_after=1))
    said = [line["message"]["content"] for line in lines if line["kind"] == "message"]
    assert sorted(said) == sorted(
        [f"Ada asks {n}" for n in range(3)] + [f"The bot answers {n}" for n in range(3)]
        + ["Ada to Ben", "Ben to Ada", "an old conversation"]
    )  # fmt: skip
    assert [line["profile"]["nick_name"] for line in lines if line["kind"] == "profile"] == ["Ada"]


def test_what_ada_sent_is_recalled_from_both_sides_and_what_ben_sent_stays_with_ben(server, connector, ada):
    fill(server)
    erase(connector, ada)
    assert connector.remaining(ada, SCOPE).count == 0
    assert 4 not in server.users
    seen = {message["content"] for held in server.history.values() for message in held}
    assert seen == {"Ben to Ada", "Ben asks", "The bot answers 0", "The bot answers 1", "The bot answers 2"}
    assert not any(view[0] == 4 and held for view, held in server.history.items())


def test_a_message_that_cannot_be_recalled_keeps_its_conversation_and_the_user_for_the_second_look(
    server, connector, ada
):
    fill(server)
    server.stuck = {1}
    erase(connector, ada)
    left = connector.remaining(ada, SCOPE)
    assert left.reason == Reason.CANNOT_DELETE
    assert "Ada asks 0" in {message["content"] for message in server.history[4, BOT]}
    assert 4 in server.users
    server.stuck = set()
    erase(connector, ada)
    assert connector.remaining(ada, SCOPE).count == 0


@pytest.mark.slow
def test_an_answer_lost_after_it_took_effect_costs_a_repeat_and_nothing_else(server, connector, ada):
    assert every_lost_deletion(server, connector, lambda: fill(server), ada) >= 15


def test_a_user_id_that_is_no_number_is_a_case_for_a_person(connector):
    with pytest.raises(Refused):
        erase(connector, Identity(uuid.uuid4(), None, None, (("user_id", "4 OR 1=1"),)))


def test_how_long_the_provider_keeps_what_is_deleted_is_what_the_operator_says(server, connector):
    assert connector.check().horizon_days is None
    said = LanyingConnector(connector._config | {"horizon_days": 180})
    assert said.check().horizon_days == 180
