"""Servers that answer as a script says, on a port of this machine: over TCP, over HTTP, as MySQL and as PostgreSQL do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket, "Rogue"], None]


class Rogue:
    """Runs a script for each connection. `heard`: what the scripts were told; `sent`: how many bytes they could send."""

    def __init__(self, script: Script) -> None:
        self.heard: list[bytes] = []
        self.sent = 0
        self.ended = threading.Event()
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                self._script(connection, self)
            except (OSError, struct.error):  # it was broken off
                return

    def send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent += len(data)

    def stop(self) -> None:
        self.ended.set()
        self._socket.close()


@contextmanager
def rogue(script: Script) -> Iterator[Rogue]:
    server = Rogue(script)
    try:
        yield server
    finally:
        server.stop()


def over_http(answer: Callable[[int, bytes], Iterable[bytes]]) -> Script:
    """Answer each request by its number and its head; an answer may come in pieces without end."""

    def script(connection: socket.socket, server: Rogue) -> None:
        while head := _head(connection):
            server.heard.append(head)
            for piece in answer(len(server.heard), head):
                server.send(connection, piece)

    return script


def _head(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return b""
        got += more
    return got


def page(body: bytes, kind: str = "application/xml", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def without_end(kind: str = "application/xml") -> Iterator[bytes]:
    """An answer in chunks that never ends, as quickly as it is read."""
    yield f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    while True:
        yield b"10000\r\n" + b" " * 65536 + b"\r\n"


# MySQL: packets of three bytes of length, a number, and what they hold (client/server protocol).


def packet(number: int, data: bytes) -> bytes:
    return struct.pack("<I", len(data))[:3] + bytes([number]) + data


def greeting(plugin: bytes = b"mysql_native_password") -> bytes:
    capabilities = 0x00000001 | 0x00000008 | 0x00000200 | 0x00008000 | 0x00080000  # 4.1, plugins, secure; no TLS
    low, high = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
    head = b"\x0a8.0.0-rogue\0" + struct.pack("<I", 7) + b"saltsalt\0" + low + b"\x2d" + struct.pack("<H", 2) + high
    return packet(0, head + bytes([21]) + b"\0" * 10 + b"saltsaltsalt\0" + plugin + b"\0")


def read_packet(connection: socket.socket) -> tuple[int, bytes]:
    head = _exactly(connection, 4)
    return head[3], _exactly(connection, int.from_bytes(head[:3], "little"))


OK = b"\x00\x00\x00\x02\x00\x00\x00"


def mysql(
    answer: Callable[[bytes], Iterable[bytes]],
    *,
    asks_for: bytes = b"",
    at_a_select: Callable[[socket.socket, Rogue], None] | None = None,
) -> Script:
    """Let whoever comes sign in (`asks_for`: by another plugin, first), then answer each statement."""

    def script(connection: socket.socket, server: Rogue) -> None:
        server.send(connection, greeting())
        number, said = read_packet(connection)
        server.heard.append(said)
        if asks_for:
            server.send(connection, packet(number + 1, b"\xfe" + asks_for + b"\0" + b"saltsaltsaltsaltsalt\0"))
            number, said = read_packet(connection)
            server.heard.append(said)
        server.send(connection, packet(number + 1, OK))
        while True:
            _number, said = read_packet(connection)
            server.heard.append(said)
            if at_a_select is not None and said.startswith(b"\x03SELECT"):
                at_a_select(connection, server)
            for place, data in enumerate(answer(said)):
                server.send(connection, packet((place + 1) % 256, data))

    return script


# PostgreSQL: a letter, a length, and what they hold (frontend/backend protocol).


def message(letter: bytes, data: bytes) -> bytes:
    return letter + struct.pack("!I", len(data) + 4) + data


READY = message(b"Z", b"I")
SIGNED_IN = message(b"R", struct.pack("!I", 0)) + message(b"S", b"server_version\x0015.0\0") + READY
ASKS_FOR_THE_PASSWORD = message(b"R", struct.pack("!I", 3))  # AuthenticationCleartextPassword


def postgresql(first: bytes, then: Callable[[socket.socket, Rogue], None]) -> Script:
    """Answer the start of a connection with `first`; what is said after that goes to `then`."""

    def script(connection: socket.socket, server: Rogue) -> None:
        while True:
            size = struct.unpack("!I", _exactly(connection, 4))[0]
            body = _exactly(connection, size - 4)
            if struct.unpack("!I", body[:4])[0] in (80877103, 80877104):  # may it be encrypted?
                server.send(connection, b"N")
                continue
            server.heard.append(body)
            break
        server.send(connection, first)
        then(connection, server)

    return script


def listen(connection: socket.socket, server: Rogue) -> None:
    while said := connection.recv(65536):
        server.heard.append(said)


def _exactly(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = connection.recv(size - len(got))
        if not more:
            raise OSError
        got += more
    return got
