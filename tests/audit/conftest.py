"""An actor and a handle for the log's tests."""

from __future__ import annotations

import pytest

from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle


@pytest.fixture
def handle() -> str:
    return new_handle()


@pytest.fixture
def officer() -> Actor:
    return Actor(new_handle(), Role.OFFICER)
