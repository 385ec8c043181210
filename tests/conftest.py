"""What every test shares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from apps.audit import quarantine
from tests.databases import _databases_copied, django_db_keepdb, django_db_setup  # noqa: F401

# A busy machine is slow, and no test is wrong for it.
hypothesis.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: two processes that share the tests end together, and not one of them with a whole site alone."""
    items.sort(key=lambda item: (item.path.parent.name != "journeys", item.get_closest_marker("thorough") is None))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A random id in the name of a test would differ between the processes of pytest-xdist."""
    return f"{argname}-uuid" if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(val)) else None


@pytest.fixture(autouse=True)
def _language_of_its_own() -> Iterator[None]:
    """A page asked for in Chinese leaves the thread in Chinese."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def _all_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(autouse=True)
def _tiles_of_its_own(settings: Any, _all_tiles: Path) -> None:
    """Each test has its own log: a published checkpoint of another one would rightly stop the sequencer."""
    settings.TILES_DIR = _all_tiles / uuid4().hex
    settings.TILES_DIR.mkdir()


REASON = quarantine.reason


@pytest.fixture(autouse=True)
def _a_process_that_has_checked(request: pytest.FixtureRequest) -> None:
    """A test's process has started and found all well. A test with the mark `starts` checks as at a start.

    Set anew for each test and not undone: a patch of the test's own may be undone after this fixture.
    """
    quarantine.forget()
    starts = request.node.get_closest_marker("starts") is not None
    quarantine.reason = REASON if starts else lambda: ""
