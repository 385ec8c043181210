"""A place as a store of named values: what copies are written to, and what watched files are read from.

One module for each kind, named in settings.STORES. `target` is where in the place it is: a folder, a prefix, a table or a
collection; so what is written never mixes with what the place holds otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from django.conf import settings
from django.utils.module_loading import import_string

from apps.locations.contract import Obstacle
from apps.locations.errors import Blocked, Unavailable
from apps.locations.models import Location
from apps.locations.said import said as _
from apps.locations.services import config_of

PROBE = "habeas-probe"


class Missing(Unavailable):
    """There is nothing under this name."""


@dataclass(frozen=True)
class Found:
    """A name in a store. `stamp` changes when the content does; `is_current`: False when only old versions are left, or
    blocks of an upload that never ended. `modified`: where a listing tells it; None of such blocks."""

    name: str
    size: int = 0
    stamp: str = ""
    is_current: bool = True
    modified: datetime | None = None


class Store(Protocol):
    """Errors are those of apps.locations.errors, and Missing; Blocked when something may not be deleted yet."""

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Store a value whole or not at all; one that is there is replaced."""
        ...

    def get(self, name: str) -> Iterator[bytes]: ...

    def delete(self, names: Sequence[str]) -> None:
        """Delete values with every version of them; one that is not there is no error. What is held keeps no other."""
        ...

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield whatever is there of the names that begin so, old versions included; always in the same order.

        `after`: a name that begins so; only what comes behind it, there or not any more, so that a listing can go on.
        """
        ...


@runtime_checkable
class CanBeHeld(Protocol):
    """A store that may keep what it was asked to delete."""

    def obstacles(self, prefix: str) -> list[Obstacle]:
        """Say what would stay of the names that begin so, before anything is touched."""
        ...


def store_for(location: Location, target: str, *, is_text: bool = False) -> Store:
    """Return the store in a place. `is_text`: values are UTF-8, for people who look into the table themselves."""
    return store_of(location.kind, config_of(location), target, is_text=is_text)


def store_of(kind: str, config: dict[str, Any], target: str, *, is_text: bool = False) -> Store:
    store: Store = import_string(settings.STORES[kind])(config, target, is_text=is_text)
    return store


def try_out(store: Store) -> bool:
    """Write, read and delete a small value; False if a lock or a hold keeps it. Raises what else stands in the way."""
    store.put(PROBE, [b"probe"])
    if b"".join(store.get(PROBE)) != b"probe":
        raise Unavailable(_("The place did not give back what was written."))
    try:
        store.delete([PROBE])
    except Blocked:
        return False
    if any(found.name == PROBE for found in store.find(PROBE)):
        raise Unavailable(_("The place keeps what it was asked to delete: versions stay behind."))
    return True


def words_of_trial(lets_go: bool) -> str:
    """Say what a trial has shown."""
    if lets_go:
        return _("Copies can be written, read and deleted there.")
    return _("Copies can be written and read there. What is deleted stays until its lock or hold ends.")
