"""A server that answers a byte now and then keeps no worker: each call has an end as a whole."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from apps.locations import deadlines
from apps.locations.connectors.http import HTTPConnector
from apps.locations.connectors.lanying import LanyingConnector
from apps.locations.connectors.openai import OpenAIConnector
from apps.locations.contract import Identity, Scope
from apps.locations.deadlines import Deadlines
from apps.locations.errors import Unavailable

ADA = Identity(uuid4(), None, None, (("user_id", "4"),))
LONGEST = 10.0  # seconds that a test may take before it has failed; a drip would take days
DRIP_SECONDS = 0.02
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5;"
HANDSHAKE = b"\x16\x03\x03\x20\x00"  # 8,192 bytes are to come
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


class Dripping:
    """Answers each connection with `at_once`, then with a byte every DRIP_SECONDS."""

    def __init__(self, at_once: bytes) -> None:
        self.at_once, self.ended = at_once, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(self.at_once)
                while not self.ended.wait(DRIP_SECONDS):
                    connection.sendall(b"x")
            except OSError:  # it was broken off
                return

    def stop(self) -> None:
        self.ended.set()
        self._socket.close()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "PATIENCE_SECONDS", 0.15)
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(deadlines, "_watchdog", deadlines.Watchdog())


@pytest.fixture(
    params=[b"HTTP/1.1 200 OK\r\nX-Long: ", ANSWER, ANSWER + b'{"items": ['], ids=["its head", "its body", "its rest"]
)
def server(request: Any, _impatient: None) -> Iterator[Dripping]:
    server = Dripping(request.param)
    yield server
    server.stop()


def http(address: str) -> Any:
    return HTTPConnector(
        {"address": address, "key_name": "k", "algorithm": "hmac-sha256", "secret": "s" * 32, "identities": ["user_id"]}
    )


def lanying(address: str) -> Any:
    return LanyingConnector({"api_endpoint": address, "app_id": "a", "access_token": "t", "identity": "user_id"})


def openai(address: str) -> Any:
    return OpenAIConnector({"api_key": "k", "base_url": address, "metadata_key": "user_id", "identity": "user_id"})


@pytest.mark.parametrize("kind", [http, lanying, openai])
def test_a_server_that_drips_is_left_alone(server: Dripping, kind: Callable[[str], Any]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        list(kind(server.address).find(ADA, Scope()))
    assert time.monotonic() - began < LONGEST


@pytest.mark.usefixtures("_impatient")
def test_one_that_drips_the_length_of_a_chunk_is_left_alone_too() -> None:
    server, began = Dripping(IN_CHUNKS), time.monotonic()
    with pytest.raises(Unavailable):
        list(http(server.address).find(ADA, Scope()))
    server.stop()
    assert time.monotonic() - began < LONGEST


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", [http, lanying, openai])
def test_one_that_drips_before_anything_is_encrypted_is_left_alone_too(kind: Callable[[str], Any]) -> None:
    server, began = Dripping(HANDSHAKE), time.monotonic()
    with pytest.raises(Unavailable):
        list(kind(server.address.replace("http:", "https:")).find(ADA, Scope()))
    server.stop()
    assert time.monotonic() - began < LONGEST


def test_the_time_that_the_reader_takes_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(deadlines, "time", type("Clock", (), {"monotonic": lambda: now[0], "sleep": time.sleep}))

    class Sent(httpx.SyncByteStream):
        seconds = 0.0

        def __iter__(self) -> Iterator[bytes]:
            for _number in range(3):
                now[0] += self.seconds
                yield b"abc"

    def read() -> bytes:
        got = b""
        for chunk in Deadlines(httpx.SyncByteStream)._paced(Sent()):
            got += chunk
            now[0] += 10 * deadlines.PATIENCE_SECONDS
        return got

    assert read() == b"abcabcabc"
    Sent.seconds = 0.7 * deadlines.PATIENCE_SECONDS
    with pytest.raises(Unavailable):
        read()


def test_what_is_large_and_comes_steadily_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "PATIENCE_SECONDS", 0.0)

    class Sent(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from [b"x" * 65536] * 20

    assert sum(map(len, Deadlines(httpx.SyncByteStream)._paced(Sent()))) == 20 * 65536


def test_of_two_connections_that_are_made_at_once_both_can_be_broken_off() -> None:
    clients = Deadlines(httpx.SyncByteStream)
    made = [socket.socketpair() for _number in range(3)]

    class Stream:
        def __init__(self, own: socket.socket) -> None:
            self.own = own

        def get_extra_info(self, _name: str) -> socket.socket:
            return self.own

    class Slow(Stream):
        """While it is asked whether it is open another connection is made."""

        def get_extra_info(self, _name: str) -> socket.socket:
            if not others:
                others.append(threading.Thread(target=connect, args=(streams[2],)))
                others[0].start()
                others[0].join(0.1)
            return self.own

    def connect(stream: Stream) -> None:
        clients._traced(deadlines.Call(), "connection.connect_tcp.complete", {"return_value": stream})

    others: list[threading.Thread] = []
    streams = [kind(own) for kind, (own, _far) in zip((Slow, Stream, Stream), made, strict=True)]
    for stream in streams[:2]:
        connect(stream)
    others[0].join()
    clients._break_off()
    for _own, far in made:
        far.settimeout(1.0)
        assert far.recv(1) == b""
    for pair in made:
        for end in pair:
            end.close()
