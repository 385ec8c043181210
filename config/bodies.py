"""Refuses request bodies that nobody here asks for, before anything of them is kept (Django reads a body whole).

Large ones are taken on the import page alone, and from somebody who is signed in: whoever is not could otherwise fill the
disk with what the view then refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import close_old_connections
from django.http import parse_cookie
from django.utils.module_loading import import_string

from apps.keys.errors import KeysError

LARGE_PATH = "/conversations/import/"
LARGEST_UPLOAD = 4 * 1024**3 + 2**20  # apps.records takes 4 GiB; the rest is the form around it
LARGEST_FORM = 40 * 1024**2  # a request with documents

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
        announced = headers.get(b"content-length", b"0")
        limit = LARGEST_FORM
        if scope["path"] == LARGE_PATH and _may_be_large(headers):
            limit = await largest(headers.get(b"cookie", b""))
        if not announced.isdigit() or int(announced) > limit:
            return await _refuse(send)
        return await self.application(scope, _counted(receive, limit), send)


def _may_be_large(headers: dict[bytes, bytes]) -> bool:
    """Say whether it is worth a look at the session: a small form is not."""
    announced = headers.get(b"content-length")
    return announced is None or (announced.isdigit() and int(announced) > LARGEST_FORM)


async def largest(cookies: bytes) -> int:
    """Return how many bytes may come to the import page from whoever sends these cookies."""
    key = parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME, "")
    return LARGEST_UPLOAD if key and await sync_to_async(_look)(key) else LARGEST_FORM


def _look(session_key: str) -> bool:
    """Ask outside a request: its connection to the database is not kept."""
    close_old_connections()
    try:
        return is_signed_in(session_key)
    except KeysError:  # in quarantine, or while the master key is out of reach: sessions are sealed
        return False
    finally:
        close_old_connections()


def is_signed_in(session_key: str) -> bool:
    """Say whether a session is there and somebody's."""
    return SESSION_KEY in import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key).load()


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
