from __future__ import annotations

from tests.services import postgres  # noqa: F401
