"""Ada with conversations and requests, Mallory with an account and no rights, and nobody: three browsers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.audit.actors import Actor, Role
from apps.locations.services import ensure_own_locations
from apps.records import selectors
from apps.records.importers.types import ParsedAttachment
from apps.records.models import Attachment, Import, Subject
from apps.records.services import store_conversations
from apps.records.subjects import subject_for
from apps.requests import engine, services
from apps.requests.models import PrivacyRequest
from apps.requests.services import OpenedRequest
from tests.records.conftest import conversation

PASSWORD = "correct horse battery staple"
TITLE = "Deposit <script>alert(1)</script>"
WORDS = "The landlord keeps my **deposit** <img src=x onerror=alert(1)>"


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\xaa\xbb\xcc" * 2 for _ in range(2)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def file(name: str, content: bytes, media_type: str) -> ParsedAttachment:
    return ParsedAttachment(name, media_type, f"file-service://{name}", lambda: iter([content]), len(content))


@pytest.fixture(autouse=True)
def _installation(settings: Any, tmp_path: Path) -> Iterator[None]:
    """A storage of the test's own, no counts of tries left by other tests, background work only when asked for."""
    configured = dict(settings.STORAGES)
    configured["default"] = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "storage")},
    }
    settings.STORAGES = configured
    cache.clear()
    yield
    cache.clear()


@dataclass
class Person:
    """Somebody with an account and a browser, freshly authenticated."""

    user: User
    client: Client
    subject: Subject

    @property
    def actor(self) -> Actor:
        return Actor(self.subject.handle, Role.PERSON)

    def file(self, kind: str = "access", **options: Any) -> OpenedRequest:
        return services.open_request(self.subject, kind=kind, regime="gdpr", actor=self.actor, **options)


def make_person(name: str) -> Person:
    user = User.objects.create_user(f"{name}@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return Person(user, client, subject_for(user))


def set_last_authentication(client: Client, at: float) -> None:
    """Say when the password was shown last in this browser, in seconds."""
    session = client.session
    for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] = at
    session.save()


@pytest.fixture
def places(db: None) -> None:
    ensure_own_locations()


@pytest.fixture
def ada(places: None) -> Person:
    return make_person("ada")


@pytest.fixture
def mallory(places: None) -> Person:
    return make_person("mallory")


@pytest.fixture
def nobody() -> Client:
    return Client()


@dataclass
class Held:
    """What Ada has: a conversation with a picture and a page with a script in it, an import, a request."""

    conversation: Any
    picture: Attachment
    page: Attachment
    imported: Import
    request: PrivacyRequest
    code: str


@pytest.fixture
def held(ada: Person) -> Held:
    files = [file("wall.png", png(), "image/png"), file("evil.html", b"<script>alert(1)</script>", "text/html")]
    parsed = conversation("c1", WORDS, "Ask for a *list*.", title=TITLE, attachments=files)
    store_conversations(ada.subject, [parsed], actor=ada.actor, source="chatgpt")
    summary = selectors.conversations_page(ada.subject).items[0]
    by_name = {info.name: info for info in selectors.read_conversation(ada.subject, summary.id).files}
    client = ada.client
    client.post("/conversations/import/", {"text": "You: hello\n\nAssistant: good day"})
    opened = ada.file("erasure")
    return Held(
        conversation=summary,
        picture=Attachment.objects.get(pk=by_name["wall.png"].id),
        page=Attachment.objects.get(pk=by_name["evil.html"].id),
        imported=Import.objects.get(subject=ada.subject),
        request=opened.request,
        code=opened.code,
    )


def approve_everything(request: PrivacyRequest) -> None:
    """Approve as the command line does, and carry everything out."""
    services.approve_request(request, actor=Actor.command_line(), rule="command_line")
    engine.drain()
    request.refresh_from_db()
