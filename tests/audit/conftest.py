"""Actors, handles, and a log with something in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, transaction

from apps.audit import services, triggers
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Checkpoint, Entry


def newest() -> Checkpoint:
    """The newest checkpoint, which there must be."""
    return Checkpoint.objects.latest("size")


@pytest.fixture
def handle() -> str:
    return new_handle()


@pytest.fixture
def officer() -> Actor:
    return Actor(new_handle(), Role.OFFICER)


@pytest.fixture
def tiles_dir(settings) -> Path:
    return Path(settings.TILES_DIR)


@pytest.fixture
def signing_without_commits(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sequencer run inside the test's own transaction, for tests that need no commits and are quick without."""
    monkeypatch.setattr(services, "_refuse_inside_transaction", lambda: None)


@contextmanager
def past_the_triggers() -> Iterator[None]:
    """Do what only the database's administrator can do."""
    connection.check_constraints()  # PostgreSQL changes no trigger while rows wait to be checked
    triggers.remove(connection)
    try:
        yield
    finally:
        triggers.install(connection)


@pytest.fixture
def write(handle: str) -> Callable[[int], list[Entry]]:
    """Write some entries in one transaction, unsigned."""

    def write(count: int = 1) -> list[Entry]:
        with transaction.atomic():
            return [
                services.append(Event.STEP_DONE, about=handle, actor=Actor.system(), erased=number)
                for number in range(count)
            ]

    return write
