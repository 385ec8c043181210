"""A server on loopback that stands in for somebody's API, and can be made to fail: at the n-th call, slowly, or busy."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: Any  # by name, in whatever case
    body: bytes
    target: str = ""  # path and query as they were sent

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: Any = None  # bytes, or what JSON can say; None: no body
    headers: dict[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class StandIn:
    """Subclasses answer in `serve`. Calls are counted from 1; `violations` are what a client or we did wrong."""

    base_path = ""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.violations: list[str] = []
        self.lose_at = 0  # the connection of this call is lost …
        self.lose_after = False  # … after it took effect
        self.busy = 0  # so many calls are answered with 429
        self.delay = 0.0  # seconds before each answer
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.base_path}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget_calls(self) -> None:
        self.calls.clear()
        self.lose_at = 0

    def serve(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def answer(self, asked: Asked) -> Answer | None:
        """Serve one call, with the faults that the test wants; None: the connection is lost."""
        with self._lock:
            self.calls.append(f"{asked.method} {asked.path}")
            is_lost = len(self.calls) == self.lose_at
            if is_lost and not self.lose_after:
                return None
            if self.busy:
                self.busy -= 1
                return Answer(
                    429,
                    {"error": {"message": "busy", "type": "requests", "param": None, "code": None}},
                    {"retry-after": "7"},
                )
            answer = self.serve(asked)
        if self.delay:
            time.sleep(self.delay)
        return None if is_lost else answer


def _handler_for(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and body in one packet

        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            path = unquote(parts.path.removeprefix(stand_in.base_path))
            answer = stand_in.answer(Asked(self.command, path, query, self.headers, body, self.path))
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = answer.as_bytes()
            self.send_response(answer.status)
            kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
            for name, value in ({"content-type": kind, "content-length": str(len(content))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
