"""Anchors: places outside the installation where checkpoints are left, so that the operator cannot rewrite the log unseen.

One module a kind. `settings.ANCHORS` (from the variable ANCHORS, config/anchors.py) names the class, how pages call the
place, and the class's options. What an anchor gives back is believed only as far as the log's key signed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

TIMEOUT = 20.0  # seconds that an anchor may take to answer


class Anchor(Protocol):
    """A place for checkpoints. Both methods raise AnchorUnreachable or AnchorRefused."""

    can_be_read: bool

    def publish(self, note: str) -> bytes:
        """Leave a checkpoint there; return what the place gave as a proof, b"" if it gives none. A repeat is harmless."""
        ...

    def kept(self) -> Iterator[str]:
        """Yield the checkpoints that lie there, newest first; nothing where it cannot be read."""
        ...


class Placed:
    """An anchor as settings name it."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.kind: str = entry["KIND"]
        self.place: str = entry["PLACE"]
        self.name = f"{self.kind} {self.place}"
        self.proof_extension: str = entry.get("PROOF", "")
        self._entry = entry

    def open(self) -> Anchor:
        made: Anchor = import_string(self._entry["BACKEND"])(**self._entry["OPTIONS"])
        return made


def placed() -> list[Placed]:
    """Return the anchors of this site."""
    return [Placed(entry) for entry in settings.ANCHORS]
