"""Refuses request bodies that nobody here asks for, before anything of them is kept (Django reads a body whole).

Large ones are taken on the import page alone, from somebody who carries a session; the view then checks who it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

LARGE_PATH = "/conversations/import/"
LARGEST_UPLOAD = 4 * 1024**3 + 2**20  # apps.records takes 4 GiB; the rest is the form around it
LARGEST_FORM = 40 * 1024**2  # a request with documents
SESSION_COOKIE = b"sessionid="

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class LimitBodies:
    """ASGI middleware: 413 for an announced body that is too large; one that is not announced is cut off."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        headers = dict(scope["headers"])
        limit = largest(scope["path"], headers.get(b"cookie", b""))
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            return await _refuse(send)
        return await self.application(scope, _counted(receive, limit), send)


def largest(path: str, cookies: bytes) -> int:
    """Return how many bytes a body may have."""
    return LARGEST_UPLOAD if path == LARGE_PATH and SESSION_COOKIE in cookies else LARGEST_FORM


def _counted(receive: Receive, limit: int) -> Receive:
    left = limit

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if left < 0 else message

    return counted


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"This is more than can be taken here.\n"})
