from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.keys.errors import InQuarantine
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


@pytest.mark.parametrize(
    ("path", "cookie"),
    [
        ("/requests/find/", b"sessionid=hers"),
        (bodies.LARGE_PATH, b""),
        (bodies.LARGE_PATH, b"sessionid=made-up"),
        (bodies.LARGE_PATH, b"\xff\0; sessionid="),
    ],
)
@pytest.mark.parametrize("announced", [200 * 2**20, None])
def test_a_large_body_is_taken_only_from_somebody_signed_in_on_the_import_page(
    monkeypatch: pytest.MonkeyPatch, path: str, cookie: bytes, announced: int | None
) -> None:
    monkeypatch.setattr(bodies, "is_signed_in", lambda key: key == "hers")
    sent = 50 * 2**20 if announced is None else 0
    status, given = ask(path, announced=announced, sent=sent, cookie=cookie)
    assert given <= bodies.LARGEST_FORM and (announced is None or status == 413)
    status, given = ask(bodies.LARGE_PATH, announced=announced, sent=sent, cookie=b"a=b; sessionid=hers")
    assert (status, given) == (200, sent)


@pytest.mark.django_db(databases=["default", "keys"])
def test_a_session_counts_once_somebody_has_signed_in_with_it(client: Client) -> None:
    session = client.session
    session["language"] = "en"
    session.save()
    assert not bodies.is_signed_in(str(session.session_key))
    assert not bodies.is_signed_in("x" * 32)
    client.force_login(User.objects.create_user("ada@example.org", "a good password"))
    assert bodies.is_signed_in(str(client.session.session_key))
    client.logout()
    assert not bodies.is_signed_in(str(session.session_key))


def test_while_no_session_opens_nothing_large_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(session_key: str) -> bool:
        raise InQuarantine

    monkeypatch.setattr(bodies, "is_signed_in", shut)
    assert ask(bodies.LARGE_PATH, announced=200 * 2**20, cookie=b"sessionid=hers") == (413, 0)
    assert ask(bodies.LARGE_PATH, announced=200, sent=200, cookie=b"sessionid=hers") == (200, 200)


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
