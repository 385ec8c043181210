"""Breaks off a call over HTTP that takes too long as a whole.

A timeout counts each wait by itself: a server that sends a byte now and then keeps every one of them short, and a worker
busy for days. So an answer has to begin within PATIENCE_SECONDS, each part of its body has to be whole within as many, and
all of it has to come faster than SLOWEST; the time that our own side takes to read it does not count. The clients look alike, so that this is for httpx and for what OpenAI's has.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from apps.locations.errors import Unavailable
from apps.locations.said import said as _

PATIENCE_SECONDS = 60.0
SLOWEST = 1024  # bytes a second
TICK_SECONDS = 1.0  # between two looks for calls that are late
CONNECTED = ("connect_tcp.complete", "start_tls.complete")


class Watchdog:
    """Acts when something has not ended in time, in one thread for all, which ends when there is nothing to watch."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[float, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, what: object, act: Callable[[], None]) -> None:
        with self._lock:
            self._watched[what] = time.monotonic() + PATIENCE_SECONDS, act
            if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()

    def end(self, what: object) -> None:
        with self._lock:
            self._watched.pop(what, None)

    def _watch(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                late = [what for what, (ends_at, _act) in self._watched.items() if time.monotonic() > ends_at]
                acts = [self._watched.pop(what)[1] for what in late]
            for act in acts:
                act()


_watchdog = Watchdog()


class Call:
    """One call: its newest connection, and another handle of it while encryption is agreed on, which takes the socket over."""

    def __init__(self) -> None:
        self.stream: Any = None
        self._handle: socket.socket | None = None

    def encryption_begins(self) -> None:
        self._handle = self.stream.get_extra_info("socket").dup()
        _watchdog.begin(self, partial(_shut, self._handle))

    def encryption_ends(self) -> None:
        _watchdog.end(self)
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class Deadlines:
    """Those of one client. `stream_class`: the client library's SyncByteStream."""

    def __init__(self, stream_class: type) -> None:
        self._stream_class = type("Paced", (_Paced, stream_class), {})
        self._streams: list[Any] = []
        self._lock = threading.Lock()  # one client may ask for several things side by side

    def hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        """Return the `event_hooks` of the client."""
        return {"request": [self._begin], "response": [self._answered]}

    def _begin(self, request: Any) -> None:
        request.extensions["trace"] = partial(self._traced, Call())

    def _answered(self, response: Any) -> None:
        response.stream = self._paced(response.stream)

    def _paced(self, stream: Any) -> Any:
        return self._stream_class(stream, self._break_off)

    def _traced(self, call: Call, event: str, about: dict[str, Any]) -> None:
        """Hear what httpcore does ("Extensions", "trace"), to know the connections and when an answer is waited for."""
        if event.endswith(CONNECTED):
            with self._lock:
                open_ones = [stream for stream in self._streams if stream.get_extra_info("socket").fileno() >= 0]
                self._streams = [*open_ones, about["return_value"]]
            call.encryption_ends()
            call.stream = about["return_value"]
        elif event.endswith("start_tls.started"):
            call.encryption_begins()
        elif event.endswith("start_tls.failed"):
            call.encryption_ends()
        elif event.endswith("receive_response_headers.started"):
            _watchdog.begin(call, self._break_off)
        elif event.endswith(("receive_response_headers.complete", "receive_response_headers.failed")):
            _watchdog.end(call)

    def _break_off(self) -> None:
        """End the client's connections: whoever waits there hears that nothing more comes."""
        for stream in self._streams:
            _shut(stream.get_extra_info("socket"))


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended meanwhile
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Paced:
    """The body of an answer; raises Unavailable when it comes too slowly."""

    def __init__(self, stream: Any, break_off: Callable[[], None]) -> None:
        self._stream, self._break_off = stream, break_off

    def __iter__(self) -> Iterator[bytes]:
        chunks, waited, got = iter(self._stream), 0.0, 0
        while True:
            began = time.monotonic()
            _watchdog.begin(self, self._break_off)  # what stands between two parts may drip as well
            try:
                chunk = next(chunks, None)
            finally:
                _watchdog.end(self)
            waited += time.monotonic() - began
            if chunk is None:
                return
            got += len(chunk)
            if waited > PATIENCE_SECONDS + got / SLOWEST:
                raise Unavailable(_("The server answers too slowly."))
            yield chunk

    def close(self) -> None:
        self._stream.close()
