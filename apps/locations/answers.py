"""Keeps answers of the clients that are built on urllib3 within bounds: those of S3, Google Cloud Storage and Azure.

Their SDKs hold an answer in memory as a whole, unpack what the server says is packed, and expand the entities of XML, for
as long as the server likes. Here an answer has a largest size, on the wire and unpacked, comes faster than SLOWEST, and
declares no entities. An object's body is read in chunks: it has the size that is asked for, which `at_most` says.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from apps.locations import deadlines
from apps.locations.deadlines import LARGEST_ANSWER
from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _

HEAD = 256 * 1024  # status, headers, what stands between the chunks of a body; or what is said in place of it
ENTITY = b"<!ENTITY"
_body: ContextVar[int | None] = ContextVar("how large the body of an object may be that is asked for", default=None)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let what is asked for within have a body of about this size, of whatever content. Not around a `yield`."""
    token = _body.set(size)
    try:
        yield
    finally:
        _body.reset(token)


def exactly(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield a body that has the size which the listing told; raises Unavailable for another one."""
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise Unavailable(_("An object has another size than was said."))


def keep_within(pools: dict[str, Any]) -> None:
    """Change urllib3's pool classes, by scheme, so that the answers of their connections are kept within bounds."""
    for scheme, pool in pools.items():
        connection = type("Connection", (_Bounded, pool.ConnectionCls), {"response_class": _Response})
        pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})


def keep_session_within(session: Any) -> None:
    """The same for a session of requests, proxies included. It takes no password from ~/.netrc of the machine."""
    session.auth = lambda request: request
    for adapter in {id(one): one for one in session.adapters.values()}.values():  # one may stand for both schemes
        pools = dict(adapter.poolmanager.pool_classes_by_scheme)
        keep_within(pools)
        adapter.poolmanager.pool_classes_by_scheme = pools
        adapter.proxy_manager_for = _with_pools(adapter.proxy_manager_for, pools)


def _with_pools(make: Callable[..., Any], pools: Mapping[str, Any]) -> Callable[..., Any]:
    def made(*arguments: Any, **named: Any) -> Any:
        manager = make(*arguments, **named)
        manager.pool_classes_by_scheme = pools
        return manager

    return made


class _Bounded:
    """A connection of urllib3: what is read of a body through `stream`, as the SDKs do, is checked unpacked."""

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        response.stream = _checked(response.stream)
        return response


def _checked(stream: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
    body = _body.get()

    def checked(*arguments: Any, **named: Any) -> Iterator[bytes]:
        got, before = 0, b""
        for chunk in stream(*arguments, **named):
            got += len(chunk)
            if got > (LARGEST_ANSWER if body is None else body + HEAD):
                raise Refused(_("The server's answer is larger than it may be."))
            if body is None:
                before = before[-len(ENTITY) :] + chunk.replace(b"\0", b"")  # of UTF-16 only this much matters
                if ENTITY in before:
                    raise Refused(_("The server's answer is none that its protocol knows."))
            yield chunk

    return checked


class _Response(http.client.HTTPResponse):
    """Reads from the connection through _Raw: head, chunks and what stands between them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        deadlines.check_look()
        self.fp: Any = io.BufferedReader(_Raw(self.fp.detach()))


class _Raw(io.RawIOBase):
    def __init__(self, raw: Any) -> None:
        super().__init__()
        body = _body.get()
        self._raw, self._most = raw, HEAD + (LARGEST_ANSWER if body is None else body)
        self._got, self._waited = 0, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        began = time.monotonic()
        count: int = self._raw.readinto(buffer) or 0
        self._waited += time.monotonic() - began
        self._got += count
        if self._got > self._most:
            raise Refused(_("The server's answer is larger than it may be."))
        if self._waited > deadlines.PATIENCE_SECONDS + self._got / deadlines.SLOWEST:
            raise Unavailable(_("The server answers too slowly."))
        return count

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        self._raw.close()
        super().close()
