from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.ceph import ceph_gateway  # noqa: F401
from tests.journeys.site import Site, running
from tests.services import not_here, postgres, redis  # noqa: F401

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")  # its event loop lives in this thread: longer, and every later test would trip over it
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        not_here("Chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def site(tmp_path: Path, request: Any) -> Iterator[Site]:
    """A site of this test alone, on one machine: SQLite, local storage, a broker of files."""
    extra = getattr(request, "param", {})
    (tmp_path / "site").mkdir()
    with running(Site(tmp_path / "site", dict(extra))) as started:
        started.manage("make_sample_people")
        yield started
