"""Asking places what they hold, without letting a slow one keep the person waiting: outside ones side by side."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from threading import Thread

from apps.locations.contract import Connector, Identity, Obstacle, Scope
from apps.locations.deadlines import looking_for
from apps.locations.errors import LocationError

SECONDS = 2.0  # for counting in one place
PATIENCE = 1.5  # for the answer of an outside place beyond that; then the page says that it does not answer
ITEMS_BETWEEN_LOOKS = 64  # at the clock


@dataclass
class Found:
    """What a place holds: counts by kind, bytes, and what an erasure could not take at once."""

    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    is_complete: bool = True  # False: there is more than was counted
    is_silent: bool = False  # the place did not answer
    obstacles: list[Obstacle] = field(default_factory=list)


class Question:
    """One place, asked in a thread of its own. It must not need our database: our own places are asked directly."""

    def __init__(self, connector: Connector, who: Identity, scope: Scope, *, is_erasure: bool) -> None:
        self._found: Found | None = None
        self._arguments = (connector, who, scope, is_erasure)
        self._asked_at = time.monotonic()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self) -> Found:
        """Return what was found, or a silent place once the patience is over."""
        left = self._asked_at + SECONDS + PATIENCE - time.monotonic()
        self._thread.join(max(left, 0))
        return self._found or Found(is_silent=True, is_complete=False)

    def _run(self) -> None:
        connector, who, scope, is_erasure = self._arguments
        self._found = ask(connector, who, scope, is_erasure=is_erasure)


def ask(connector: Connector, who: Identity, scope: Scope, *, is_erasure: bool) -> Found:
    """Count what a place holds for at most SECONDS; nothing is read but names and sizes."""
    found = Found()
    ends_at = time.monotonic() + SECONDS
    try:
        with looking_for(SECONDS + PATIENCE):
            if is_erasure:
                found.obstacles = connector.preflight(who, scope)
            for number, item in enumerate(connector.find(who, scope)):
                found.counts[item.kind] += 1
                found.size += item.size or 0
                if number % ITEMS_BETWEEN_LOOKS == 0 and time.monotonic() > ends_at:
                    found.is_complete = False
                    break
    except LocationError:
        return Found(is_silent=True, is_complete=False)
    return found
