"""Keys of invented people, master keys in a folder of the test, and the handles that the log needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.audit.handles import new_handle
from apps.audit.models import Entry
from apps.keys import services
from apps.keys.kinds import KeyKind
from apps.keys.services import NewKey


@pytest.fixture(autouse=True)
def master_keys(settings: Any, tmp_path: Path) -> Path:
    """A folder of master keys for this test alone, and tiles of its own."""
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"
    settings.TILES_DIR = tmp_path / "tiles"
    return tmp_path / "master-keys"


@pytest.fixture
def actor() -> Actor:
    return Actor.system()


@pytest.fixture
def about() -> str:
    return new_handle()


@pytest.fixture
def person() -> Callable[[], NewKey]:
    """Make the key of a new person."""
    return lambda: services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4())


@pytest.fixture
def ada(person: Callable[[], NewKey]) -> NewKey:
    return person()


@pytest.fixture
def ben(person: Callable[[], NewKey]) -> NewKey:
    """The one whose keys must survive."""
    return person()


@pytest.fixture
def events() -> Callable[[], list[str]]:
    """What the log says of keys, in order."""
    return lambda: list(Entry.objects.filter(event__startswith="keys.").order_by("id").values_list("event", flat=True))
