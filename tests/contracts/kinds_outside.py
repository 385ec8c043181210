"""Places behind somebody's API for the contract that all share: stand-ins on loopback, each strict about its protocol."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from itertools import count

import httpx
import httpx2
import pytest

from apps.locations.connectors.lanying import LanyingConnector
from apps.locations.connectors.openai import OpenAIConnector
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


def _openai(request: pytest.FixtureRequest) -> OpenAI:
    server = OpenAIStandIn()
    request.addfinalizer(server.stop)
    return OpenAI(server)


OUTSIDE_KINDS: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {"openai": _openai, "lanying": _lanying}
