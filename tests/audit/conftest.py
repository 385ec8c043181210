"""Actors, handles, and a log with something in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction

from apps.audit import services
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Entry


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
def write(handle: str) -> Callable[[int], list[Entry]]:
    """Write some entries in one transaction, unsigned."""

    def write(count: int = 1) -> list[Entry]:
        with transaction.atomic():
            return [
                services.append(Event.STEP_DONE, about=handle, actor=Actor.system(), erased=number)
                for number in range(count)
            ]

    return write
