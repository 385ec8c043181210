"""Places behind somebody's API for the contract that all share: stand-ins on loopback, each strict about its protocol."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from itertools import count

import httpx
import httpx2
import pytest

from apps.locations.connectors.http import HTTPConnector
from apps.locations.connectors.lanying import LanyingConnector
from apps.locations.connectors.openai import OpenAIConnector
from tests.contracts.http_example import ExampleServer
from tests.contracts.kinds import Kind
from tests.contracts.lanying_standin import APP, BOT, TOKEN, LanyingStandIn
from tests.contracts.openai_standin import KEY, OpenAIStandIn


class OpenAI(Kind):
    transport = ("httpx2.HTTPTransport.handle_request",)
    batches = ("apps.locations.connectors.openai.PAGE",)

    def __init__(self, server: OpenAIStandIn) -> None:
        self.server = server
        self.numbers = count()
        self.config = {"api_key": KEY, "base_url": server.address, "metadata_key": "user_id", "identity": "user_id"}
        self.connector = OpenAIConnector(self.config)
        server.validates = False  # test_openai.py does

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.server.add_completion(f"{next(self.numbers)}", {"user_id": user_id, "name": name}, data.decode())

    def everything(self) -> dict[str, str]:
        return {
            f"users/{found['metadata']['user_id']}/{found['id']}": hashlib.sha256(repr(found).encode()).hexdigest()
            for found in self.server.objects.values()
        }

    def again(self) -> OpenAIConnector:
        return OpenAIConnector(self.config)

    def lost(self) -> httpx2.ConnectError:
        return httpx2.ConnectError("lost")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        kept = {"user_id": user_id, "name": name}
        self.server.stuck = {found["id"] for found in self.server.objects.values() if found["metadata"] == kept}
        yield
        self.server.stuck = set()

    def with_wrong_credentials(self) -> OpenAIConnector:
        return OpenAIConnector(self.config | {"api_key": "sk-wrong"})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> OpenAIConnector:
        monkeypatch.setattr("apps.locations.connectors.openai.TIMEOUT_SECONDS", 0.2)
        return OpenAIConnector(self.config | {"base_url": f"http://{address}/v1"})


class Lanying(Kind):
    transport = ("httpx.HTTPTransport.handle_request",)
    batches = (
        "apps.locations.connectors.lanying.PAGE",
        "apps.locations.connectors.lanying.RECALLED_PER_PROGRESS",
    )

    def __init__(self, server: LanyingStandIn) -> None:
        self.server = server
        self.config = {"api_endpoint": server.address, "app_id": APP, "access_token": TOKEN, "identity": "user_id"}
        self.connector = LanyingConnector(self.config)

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.server.add_message(int(user_id), BOT, data.decode(), name)

    def everything(self) -> dict[str, str]:
        return {
            f"users/{message['from_xid']['uid']}/{message['msg_id']}": hashlib.sha256(
                repr(message).encode()
            ).hexdigest()
            for held in self.server.history.values()
            for message in held
        }

    def again(self) -> LanyingConnector:
        return LanyingConnector(self.config)

    def lost(self) -> httpx.ConnectError:
        return httpx.ConnectError("lost")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        held = self.server.history[int(user_id), BOT]
        self.server.stuck = {message["msg_id"] for message in held if message["ext"] == name}
        yield
        self.server.stuck = set()

    def with_wrong_credentials(self) -> LanyingConnector:
        return LanyingConnector(self.config | {"access_token": "wrong"})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> LanyingConnector:
        monkeypatch.setattr("apps.locations.connectors.lanying.TIMEOUT_SECONDS", 0.2)
        return LanyingConnector(self.config | {"api_endpoint": f"http://{address}"})


def _lanying(request: pytest.FixtureRequest) -> Lanying:
    server = LanyingStandIn()
    request.addfinalizer(server.stop)
    return Lanying(server)


class HTTP(Kind):
    transport = ("httpx.HTTPTransport.handle_request",)
    batches = ("http_contract_server.PAGE",)

    def __init__(self, server: ExampleServer) -> None:
        self.server = server
        self.connector = HTTPConnector(server.config)

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.server.put(user_id, name, data)

    def put_many(self, user_id: str, count: int) -> None:
        self.server.put_many(user_id, [(f"{number:06}.txt", b"item %06d." % number) for number in range(count)])

    def everything(self) -> dict[str, str]:
        rows = self.server.run("SELECT user_id, id, title, words FROM notes")
        return {f"users/{row[0]}/{row[1]}": hashlib.sha256(repr(row).encode()).hexdigest() for row in rows}

    def again(self) -> HTTPConnector:
        return HTTPConnector(self.server.config)

    def lost(self) -> httpx.ConnectError:
        return httpx.ConnectError("lost")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        self.server.run("UPDATE notes SET held = 1 WHERE user_id = ? AND title = ?", user_id, name)
        yield
        self.server.run("UPDATE notes SET held = 0")

    def with_wrong_credentials(self) -> HTTPConnector:
        return HTTPConnector(self.server.config | {"secret": "f" * 32})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> HTTPConnector:
        monkeypatch.setattr("apps.locations.connectors.http.TIMEOUT_SECONDS", 0.2)
        return HTTPConnector(self.server.config | {"address": f"http://{address}"})


def _http(request: pytest.FixtureRequest) -> HTTP:
    server = ExampleServer(request.getfixturevalue("tmp_path"))
    request.addfinalizer(server.stop)
    return HTTP(server)


def _openai(request: pytest.FixtureRequest) -> OpenAI:
    server = OpenAIStandIn()
    request.addfinalizer(server.stop)
    return OpenAI(server)


OUTSIDE_KINDS: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {
    "openai": _openai,
    "lanying": _lanying,
    "http": _http,
}
