"""Breaks off a call over HTTP that takes too long as a whole.

A timeout counts each wait by itself: a server that sends a byte now and then keeps every one of them short, and a worker
busy for days. So an answer has to begin within PATIENCE_SECONDS, each part of its body has to be whole within as many, and
all of it has to come faster than SLOWEST; the time that our own side takes to read it does not count. The clients look alike, so that this is for httpx and for what OpenAI's has.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _

PATIENCE_SECONDS = 60.0
SLOWEST = 1024  # bytes a second
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK_SECONDS = 1.0  # between two looks for calls that are late
MOST_GROWTH = 1024 * 1024 * 1024  # bytes of this process while one call goes on
LARGEST_ANSWER = 32 * 1024 * 1024
NOT_PACKED = {
    "accept-encoding": "identity"
}  # a header for whoever is asked: what is packed may be a thousand times as large
CONNECTED = ("connect_tcp.complete", "start_tls.complete")


@dataclass
class _Watched:
    act: Callable[[], None]
    ends_at: float
    most: int | None = None  # memory, from what there was at the first look

    def is_over(self, now: float, used: int) -> bool:
        self.most = used + MOST_GROWTH if self.most is None else self.most
        return now > self.ends_at or used > self.most


class Watchdog:
    """Acts when something has not ended in time, or while it fills the memory; in one thread for all, which ends when there
    is nothing to watch. For drivers that take an answer as a whole and give it no end."""

    def __init__(self) -> None:
        self._watched: dict[object, _Watched] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, what: object, act: Callable[[], None]) -> None:
        with self._lock:
            self._watched[what] = _Watched(act, time.monotonic() + PATIENCE_SECONDS)
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
                now, used = time.monotonic(), memory_used()
                late = [what for what, one in self._watched.items() if one.is_over(now, used)]
                acts = [self._watched.pop(what).act for what in late]
            for act in acts:
                act()


_watchdog = Watchdog()


def memory_used() -> int:
    """Return the memory of this process in bytes; 0 where the system does not tell (proc_pid_statm(5))."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * PAGE
    except OSError:
        return 0


_look_ends_at: ContextVar[float | None] = ContextVar("when whoever looks through a place gives up", default=None)


@contextmanager
def looking_for(seconds: float) -> Iterator[None]:
    """Give up looking after so long, at the next call to a place: one without end answers each call in time.

    For this thread only. Not around a `yield`.
    """
    token = _look_ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _look_ends_at.reset(token)


def check_look() -> None:
    """Raise Unavailable when the time for looking is over; each call to a place asks."""
    ends_at = _look_ends_at.get()
    if ends_at is not None and time.monotonic() > ends_at:
        raise Unavailable(_("The place has more than can be looked through in time."))


def begin(what: object, act: Callable[[], None]) -> None:
    """Have a call ended by `act`, in another thread, when it takes too long or fills the memory; then `end` it."""
    _watchdog.begin(what, act)


def end(what: object) -> None:
    _watchdog.end(what)


def handle_of(descriptor: int) -> socket.socket:
    """Return another handle of a connection, to end it by; close it when the call is over."""
    return socket.socket(fileno=os.dup(descriptor))


class Call:
    """One call: its newest connection, and another handle of it while encryption is agreed on, which takes the socket over."""

    def __init__(self) -> None:
        self.stream: Any = None
        self._handle: socket.socket | None = None

    def encryption_begins(self) -> None:
        self._handle = self.stream.get_extra_info("socket").dup()
        _watchdog.begin(self, partial(shut, self._handle))

    def encryption_ends(self) -> None:
        _watchdog.end(self)
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class Deadlines:
    """Those of one client. `stream_class`: the client library's SyncByteStream. `is_streamed` says of a request whether the
    body of its answer is read in chunks by us; that of others, which the client reads as a whole, has a largest size."""

    def __init__(self, stream_class: type, is_streamed: Callable[[Any], bool] = lambda _request: True) -> None:
        self._is_streamed = is_streamed
        self._stream_class = type("Paced", (_Paced, stream_class), {})
        self._streams: list[Any] = []
        self._lock = threading.Lock()  # one client may ask for several things side by side

    def hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        """Return the `event_hooks` of the client."""
        return {"request": [self._begin], "response": [self._answered]}

    def _begin(self, request: Any) -> None:
        check_look()
        request.extensions["trace"] = partial(self._traced, Call())

    def _answered(self, response: Any) -> None:
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused(_("The server's answer is compressed, and that was not asked for."))
        response.stream = self._paced(response.stream)
        response.stream.most = None if self._is_streamed(response.request) else LARGEST_ANSWER

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
            shut(stream.get_extra_info("socket"))


def shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended meanwhile
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Paced:
    """The body of an answer; raises Unavailable when it comes too slowly, Refused when there is too much of it."""

    most: int | None = None

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
            if self.most is not None and got > self.most:
                raise Refused(_("The server's answer is larger than it may be."))
            if waited > PATIENCE_SECONDS + got / SLOWEST:
                raise Unavailable(_("The server answers too slowly."))
            yield chunk

    def close(self) -> None:
        self._stream.close()
