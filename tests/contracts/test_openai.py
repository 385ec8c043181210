"""OpenAI's API, against a stand-in that its own description checks."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from apps.locations.connectors import openai as openai_connector
from apps.locations.connectors.openai import OpenAIConnector
from apps.locations.contract import Change, Identity
from apps.locations.errors import Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.failing import failing_at
from tests.contracts.openai_standin import KEY, OpenAIStandIn
from tests.contracts.outside import (
    SCOPE,
    erase,
    erase_cut_off_at_each_batch,
    every_lost_connection,
    every_lost_deletion,
    exported,
    lines_of,
)


@pytest.fixture
def server() -> Iterator[OpenAIStandIn]:
    server = OpenAIStandIn()
    yield server
    server.stop()
    assert server.violations == []


def connect(server: OpenAIStandIn, **more: Any) -> OpenAIConnector:
    config = {
        "api_key": KEY,
        "base_url": server.address,
        "metadata_key": "user_id",
        "identity": "user_id",
        "has_chatkit": True,
    }
    return OpenAIConnector(config | more)


@pytest.fixture
def connector(server: OpenAIStandIn) -> OpenAIConnector:
    return connect(server)


RECORDED = (
    ("openai_response", "resp_4"), ("openai_response", "resp_expired"), ("openai_conversation", "conv_4"),
    ("openai_file", "file-4"), ("openai_file", "file-kept"), ("openai_vector_store", "vs_4"),
    ("openai_thread", "thread_4"),
)  # fmt: skip


@pytest.fixture
def ada() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("user_id", "4"), *RECORDED))


@pytest.fixture
def ben() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("user_id", "42"), ("openai_response", "resp_42")))


def fill(server: OpenAIStandIn, *, completions: int = 3) -> None:
    for number in range(completions):
        server.add_completion(f"ada-{number}", {"user_id": "4"}, f"Ada {number}\n日记")
    server.add_completion("ben-0", {"user_id": "42"}, "Ben")
    server.add_response("4")
    server.add_response("42")
    server.add_conversation("4", items=3)
    server.add_file("4", b"the notes of Ada", name="../Ada's notes.txt")
    server.add_file("kept", b"secret", purpose="assistants")
    server.add_file("in-store", b"in the store", name="store.pdf")
    server.add_store("4", ["file-in-store"])
    server.add_thread("4")
    server.add_chatkit_thread("4", "4")
    server.add_chatkit_thread("42", "42")


def of_ben(server: OpenAIStandIn) -> dict[str, Any]:
    return {path: found for path, found in server.objects.items() if "42" in path or "ben" in path}


@pytest.mark.slow
def test_nothing_there_is_nothing_found_and_nothing_remaining(connector, ada):
    assert list(connector.find(ada, SCOPE)) == []
    assert exported(connector, ada) == {}
    assert erase(connector, ada) == 0
    assert connector.remaining(ada, SCOPE).count == 0


def test_find_counts_each_kind_and_nobody_whose_id_begins_alike(server, connector, ada):
    fill(server)
    kinds = [item.kind for item in connector.find(ada, SCOPE)]
    assert sorted(kinds) == sorted(
        ["completion"] * 3 + ["chatkit thread", "response", "conversation", "file", "file", "vector store", "thread"]
    )


@pytest.mark.parametrize("stop_after", [1, 2, 3, 10**9])
def test_export_gives_every_object_and_what_belongs_to_it_also_when_cut_off(server, connector, ada, stop_after):
    fill(server)
    files = exported(connector, ada, stop_after=stop_after)
    lines = lines_of(files)
    assert sorted(line["name"] for line in lines if "kind" in line) == sorted(
        [
            "chatcmpl-ada-0",
            "chatcmpl-ada-1",
            "chatcmpl-ada-2",
            "conv_4",
            "cthr_4",
            "file-4",
            "file-kept",
            "resp_4",
            "thread_4",
            "vs_4",
        ]
    )
    by_name = {line["name"]: line for line in lines if "name" in line}
    assert files[by_name["file-4"]["file"]] == b"the notes of Ada"
    assert "does not give out" in by_name["file-kept"]["content"]
    assert sum("item" in line for line in lines) == 3
    assert sum("message" in line for line in lines) == 3
    assert sum("input" in line for line in lines) == 1
    assert b"Ben" not in b"".join(files.values())


def test_a_file_that_goes_away_between_batches_is_said_to_be_gone(server, connector, ada):
    server.add_file("4", b"the notes of Ada")
    first = next(iter(connector.export(ada, SCOPE, "")))
    assert b"".join(first.chunks) == b"the notes of Ada"
    del server.objects["/files/file-4"]
    line, end = list(connector.export(ada, SCOPE, first.cursor))
    assert b'"gone":true' in b"".join(line.chunks)
    assert (end.part, list(connector.export(ada, SCOPE, end.cursor))) == ("last", [])


@pytest.mark.slow
def test_erasure_takes_everything_of_ada_and_leaves_ben_the_same(server, connector, ada, ben):
    fill(server)
    bens = of_ben(server)
    assert erase(connector, ada) == 14
    assert connector.remaining(ada, SCOPE).count == 0
    assert server.objects == bens
    assert server.below["/conversations/conv_4/items"] == [], "the items do not go with their conversation"
    assert connector.remaining(ben, SCOPE).count == 3
    assert erase(connector, ada) == 0, "a repeat finds nothing"


@pytest.mark.slow
def test_an_erasure_killed_at_each_batch_is_finished_by_its_successor(server, connector, ada):
    fill(server, completions=250)
    assert erase_cut_off_at_each_batch(connector, ada) >= 3
    assert connector.remaining(ada, SCOPE).count == 0
    assert server.objects == of_ben(server)


@pytest.mark.slow
def test_what_appears_during_the_erasure_is_found_by_the_second_look(server, connector, ada):
    fill(server, completions=150)
    next(iter(connector.erase(ada, SCOPE, "")))
    late = server.add_completion("late", {"user_id": "4"})
    assert late in [item.name for item in connector.find(ada, SCOPE)]
    erase(connector, ada)
    assert connector.remaining(ada, SCOPE).count == 0


def test_what_the_provider_says_is_deleted_and_keeps_is_found_again(server, connector, ada):
    fill(server)
    server.stuck = {"chatcmpl-ada-1", "resp_4"}
    erase(connector, ada)
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (2, Reason.CANNOT_DELETE)


@pytest.mark.slow
def test_the_connection_lost_at_each_call_costs_a_repeat_and_nothing_else(server, connector):
    server.validates = False
    values = [pair for pair in RECORDED if pair[1] not in ("resp_expired", "file-kept", "thread_4")]
    ada = Identity(uuid.uuid4(), None, None, (("user_id", "4"), *values))

    def refill() -> None:
        fill(server, completions=1)

    assert every_lost_deletion(server, connector, refill, ada) >= 15
    assert every_lost_connection(server, connector, refill, lambda connector: list(connector.find(ada, SCOPE))) >= 8
    assert every_lost_connection(server, connector, refill, lambda connector: exported(connector, ada)) >= 12
    assert every_lost_connection(server, connector, refill, lambda connector: connector.remaining(ada, SCOPE)) >= 8


def test_a_busy_provider_is_unavailable_for_as_long_as_it_says(server, connector, ada):
    server.busy = 100
    with pytest.raises(Unavailable) as busy:
        erase(connector, ada)
    assert busy.value.retry_after == 7


def test_a_slow_provider_is_unavailable(server, ada, monkeypatch):
    monkeypatch.setattr(openai_connector, "TIMEOUT_SECONDS", 0.05)
    server.delay = 0.3
    with pytest.raises(Unavailable):
        connect(server).remaining(ada, SCOPE)


def test_nobody_there_is_unavailable(ada):
    with pytest.raises(Unavailable):
        OpenAIConnector({"api_key": KEY, "base_url": "http://127.0.0.1:9/v1", "metadata_key": "u"}).check()


def test_a_wrong_key_is_refused_without_the_providers_words(server, ada):
    wrong = connect(server, api_key="sk-wrong")
    for work in (wrong.check, lambda: erase(wrong, ada), lambda: wrong.remaining(ada, SCOPE)):
        with pytest.raises(Refused) as refused:
            work()
        assert "Incorrect" not in str(refused.value)


def test_an_address_that_answers_not_found_to_everything_is_no_proof_of_absence(ada):
    """A 404 of something else than OpenAI's API must not pass for "already gone"."""

    class Elsewhere(OpenAIStandIn):
        def serve(self, asked: Any) -> Any:
            from tests.contracts.standin import Answer

            return Answer(404, b"<h1>Not Found</h1>")

    server = Elsewhere()
    try:
        with pytest.raises(Refused):
            erase(connect(server), ada)
        with pytest.raises(Refused):
            connect(server, metadata_key="", has_chatkit=False).remaining(ada, SCOPE)
    finally:
        server.stop()


def test_a_server_that_ignores_the_filter_loses_nobody_elses_completions(server, connector, ada):
    fill(server)
    server.ignores_filter = True
    before = dict(server.objects)
    with pytest.raises(Refused):
        erase(connector, ada)
    assert server.objects == before


def test_a_person_whom_the_place_cannot_know_is_a_case_for_a_person(server):
    unknown = Identity(uuid.uuid4(), None, None, (("email", "ada@example.org"),))
    with pytest.raises(Refused):
        list(connect(server).find(unknown, SCOPE))
    declared = connect(server, all_ids_recorded=True)
    assert list(declared.find(unknown, SCOPE)) == []
    assert declared.remaining(unknown, SCOPE).count == 0


def test_a_redirect_is_not_followed(server, ada):
    class Elsewhere(OpenAIStandIn):
        def serve(self, asked: Any) -> Any:
            from tests.contracts.standin import Answer

            return Answer(307, None, {"location": f"{server.address}{asked.path}"})

    redirecting = Elsewhere()
    try:
        with pytest.raises(Refused):
            connect(redirecting).remaining(ada, SCOPE)
        assert server.calls == []
    finally:
        redirecting.stop()


def test_the_connection_test_says_what_the_provider_keeps(server, connector):
    assert connector.check().horizon_days == 30
    assert connect(server, zero_retention=True).check().horizon_days == 0
    assert connector.check().problems == ()


class TestCorrecting:
    """What the API lets be changed of what is stored: the metadata."""

    def fill(self, server: OpenAIStandIn) -> None:
        fill(server, completions=2)
        for path, found in server.objects.items():
            if path.startswith(("/chat/", "/conversations", "/threads", "/vector_stores")):
                found["metadata"] = found["metadata"] | {"name": "Adda", "plan": "free"}

    def others(self, server: OpenAIStandIn) -> dict[str, str]:
        return {path: repr(found) for path, found in server.objects.items() if path.endswith(("42", "ben-0"))}

    def names(self, server: OpenAIStandIn) -> set[str | None]:
        return {
            found["metadata"].get("name")
            for path, found in server.objects.items()
            if "name" in found.get("metadata", {}) and path not in self.others(server)
        }

    @pytest.mark.slow
    def test_metadata_are_corrected_where_the_wrong_value_stands_and_bens_stay(self, server, connector, ada) -> None:
        self.fill(server)
        server.objects["/threads/thread_4"]["metadata"]["name"] = "A."
        before = self.others(server)
        changes = [Change("name", "Ada", "Adda"), Change("plan", "paid")]
        assert connector.rectify(ada, changes) == 5
        assert self.names(server) == {"Ada", "A."}
        assert {found["metadata"]["plan"] for path, found in server.objects.items()
                if path not in before and "plan" in found.get("metadata", {})} == {"paid"}  # fmt: skip
        assert self.others(server) == before
        assert connector.rectify(ada, changes) == 0

    @pytest.mark.slow
    def test_what_finds_the_person_is_corrected_in_every_object_at_once(self, server, connector, ada) -> None:
        for number in range(openai_connector.PAGE + 3):
            server.add_completion(f"ada-{number:03}", {"user_id": "4"})
        server.validates = False
        assert connector.rectify(ada, [Change("user_id", "5", "4")]) == openai_connector.PAGE + 3
        assert {found["metadata"]["user_id"] for found in server.objects.values()} == {"5"}

    @pytest.mark.parametrize("field", ["nom", "role"])
    def test_a_key_that_is_nowhere_or_of_a_response_is_refused_before_anything_is_written(
        self, server, connector, ada, field
    ) -> None:
        self.fill(server)
        server.objects["/responses/resp_4"]["metadata"] = {"role": "x"}
        with pytest.raises(Refused):
            connector.rectify(ada, [Change("name", "Ada", "Adda"), Change(field, "y")])
        assert self.names(server) == {"Adda"}
        assert connector.rectify(ada, [Change("name", "Ada", "Adda")]) == 5

    def test_a_key_that_is_to_go_goes_or_it_is_said(self, server, connector, ada) -> None:
        self.fill(server)
        server.keeps_metadata = True
        with pytest.raises(Refused):
            connector.rectify(ada, [Change("name", None, "Adda")])
        server.keeps_metadata = False
        assert connector.fields_held(ada, ["name", "nom"]) == {"name"}
        assert connector.rectify(ada, [Change("name", None, "Adda")]) == 5
        assert self.names(server) == set()
        assert connector.fields_held(ada, ["name", "nom"]) == set()

    @pytest.mark.slow
    def test_nothing_there_is_nothing_to_correct_and_a_lost_connection_is_made_up_for(
        self, server, connector, ada
    ) -> None:
        assert connector.rectify(ada, [Change("name", "Ada", "Adda")]) == 0
        self.fill(server)
        for n in itertools.count(1):
            with failing_at(
                n, "httpx2.HTTPTransport.handle_request", error=lambda: httpx2.ConnectError("lost")
            ) as calls:
                try:
                    connect(server).rectify(ada, [Change("name", "Ada", "Adda")])
                except Unavailable:
                    continue
            assert not calls.was_lost
            break
        assert n > 3
        assert self.names(server) == {"Ada"}
