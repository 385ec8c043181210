from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config import bodies


def ask(path: str, *, announced: int | None, sent: int = 0, cookie: bytes = b"") -> tuple[int, int]:
    """Return the status and how many bytes the application was given."""
    given = 0
    headers = [(b"cookie", cookie)] + ([(b"content-length", str(announced).encode())] if announced is not None else [])
    chunks = [b"x" * min(2**20, sent - start) for start in range(0, sent, 2**20)] or [b""]
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)} for i, chunk in enumerate(chunks)
    ]
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal given
        while (message := await receive())["type"] == "http.request":
            given += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(bodies.LimitBodies(application)(scope, receive, send))
    return answers[0]["status"], given


def test_an_ordinary_form_comes_through() -> None:
    assert ask("/requests/find/", announced=200, sent=200) == (200, 200)


@pytest.mark.parametrize(("path", "cookie"), [("/requests/find/", b"sessionid=1"), (bodies.LARGE_PATH, b"")])
def test_a_large_body_is_taken_only_from_somebody_signed_in_on_the_import_page(path: str, cookie: bytes) -> None:
    assert ask(path, announced=200 * 2**20, cookie=cookie) == (413, 0)
    assert ask(bodies.LARGE_PATH, announced=200 * 2**20, cookie=b"sessionid=1")[0] == 200


def test_a_body_that_was_not_announced_is_cut_off() -> None:
    _status, given = ask("/requests/find/", announced=None, sent=bodies.LARGEST_FORM + 2**21)
    assert given <= bodies.LARGEST_FORM


def test_a_length_that_is_no_number_is_refused() -> None:
    assert asyncio.run(_status_of([(b"content-length", b"-5")])) == 413


async def _status_of(headers: list[tuple[bytes, bytes]]) -> int:
    answers: list[dict[str, Any]] = []

    async def nothing(*_: Any) -> Any:
        raise AssertionError("not reached")

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    await bodies.LimitBodies(nothing)({"type": "http", "path": "/", "headers": headers}, nothing, send)
    return int(answers[0]["status"])
