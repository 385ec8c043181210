"""Ada and Ben, and conversations to give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.audit.actors import Actor, Role
from apps.records.importers.types import Node, ParsedAttachment, ParsedConversation
from apps.records.models import Subject
from apps.records.subjects import create_subject

START = datetime(2026, 11, 18, 8, 41, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A storage of the test's own."""
    folder = tmp_path / "storage"
    configured = dict(settings.STORAGES)
    configured["default"] = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(folder)},
    }
    settings.STORAGES = configured
    yield folder


@pytest.fixture
def ada() -> Subject:
    return create_subject(emails=["ada@example.org"])


@pytest.fixture
def ben() -> Subject:
    return create_subject(emails=["ben@example.org"])


def by(subject: Subject) -> Actor:
    return Actor(subject.handle, Role.PERSON)


def node(name: str, parent: str | None, role: str, text: str, *, at: datetime = START) -> Node:
    message = {
        "id": name,
        "author": {"role": role},
        "create_time": at.timestamp(),
        "content": {"content_type": "text", "parts": [text]},
    }
    data: dict[str, Any] = {"id": name, "message": message, "parent": parent, "children": []}
    return Node(name, parent, role, at, data)


def link(nodes: Sequence[Node]) -> list[Node]:
    """Fill in the children."""
    for one in nodes:
        one.data["children"] = [other.id for other in nodes if other.parent == one.id]
    return list(nodes)


def conversation(
    name: str,
    *texts: str,
    title: str = "Deposit",
    at: datetime = START,
    attachments: Sequence[ParsedAttachment] = (),
    nodes: Sequence[Node] = (),
    current: str | None = None,
) -> ParsedConversation:
    """A conversation that goes straight on, person and assistant in turn, below a root without a message."""
    if not nodes:
        root = Node(f"{name}-root", None, "", None, {"id": f"{name}-root", "message": None, "parent": None})
        line = [root]
        for number, text in enumerate(texts):
            role = "assistant" if number % 2 else "user"
            when = at + timedelta(minutes=number)
            line.append(node(f"{name}-{number}", line[-1].id, role, text, at=when))
        nodes = line
    nodes = link(nodes)
    header = {"id": name, "title": title, "current_node": current or nodes[-1].id, "gizmo_id": None}
    times = [one.created_at for one in nodes if one.created_at] or [at]
    return ParsedConversation(name, title, times[0], times[-1], header, nodes, list(attachments), "chatgpt")


def attachment(name: str, content: bytes, pointer: str = "") -> ParsedAttachment:
    return ParsedAttachment(
        name, "text/plain", pointer or f"file-service://{name}", lambda: iter([content]), len(content)
    )
