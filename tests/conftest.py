"""What every test shares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from apps.audit import quarantine
from tests.databases import _databases_copied, django_db_keepdb, django_db_setup  # noqa: F401

# A busy machine is slow, and no test is wrong for it.
hypothesis.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("tests")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A random id in the name of a test would differ between the processes of pytest-xdist."""
    return f"{argname}-uuid" if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(val)) else None


@pytest.fixture(autouse=True)
def _language_of_its_own() -> Iterator[None]:
    """A page asked for in Chinese leaves the thread in Chinese."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _tiles_of_its_own(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test has its own log: a published checkpoint of another one would rightly stop the sequencer."""
    settings.TILES_DIR = tmp_path_factory.mktemp("tiles")


REASON = quarantine.reason


@pytest.fixture(autouse=True)
def _a_process_that_has_checked(request: pytest.FixtureRequest) -> None:
    """A test's process has started and found all well. A test with the mark `starts` checks as at a start.

    Set anew for each test and not undone: a patch of the test's own may be undone after this fixture.
    """
    quarantine.forget()
    starts = request.node.get_closest_marker("starts") is not None
    quarantine.reason = REASON if starts else lambda: ""
