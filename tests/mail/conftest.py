from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.mail import services
from apps.mail.models import Letter

WORDS = {
    "subject": "Ready",
    "lines": ["The copy is ready."],
    "doubt": "",
    "label": "Open",
    "url": "http://testserver/x",
    "code": "",
}


@pytest.fixture
def write() -> Any:
    """Queue a plain letter to Ada."""

    def queue(owner: UUID | None = None, **options: Any) -> Letter:
        return services.queue_letter(
            "account", to="ada@example.org", owner=owner or uuid4(), language="en", context={"words": WORDS}, **options
        )

    return queue
