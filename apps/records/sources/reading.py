"""What every reader of a source gives: batches, each with the place from which the next one goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from apps.locations.models import Location
from apps.locations.services import config_of
from apps.records.importers.types import ParsedConversation, Skipped

OVERLAP_TIME = timedelta(minutes=10)  # rows that were committed late, with an earlier time
OVERLAP_NUMBER = 1_000  # the same for numbers that a sequence gave out
Cursor = dict[str, Any]


@dataclass
class Batch:
    """What belongs together: conversations by the value that their person is known by, and what could not be read.

    `done` is called when all of it is stored; then `cursor` is kept.
    """

    people: dict[str, Iterable[ParsedConversation | Skipped]]
    cursor: Cursor
    troubles: list[Skipped] = field(default_factory=list)
    done: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Line:
    """One message of a preview."""

    person: str
    conversation: str
    role: str
    text: str
    time: datetime | None


class Reader(Protocol):
    """Made from a place's configuration and a mapping. Errors: those of apps.locations.errors."""

    def check(self) -> list[str]:
        """Return what is wrong with the mapping, in words for staff; empty when it can be read."""
        ...

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """Yield what changed since the cursor; the last cursor is the one to keep for the next time."""
        ...


def reader_for(location: Location, mapping: dict[str, Any], *, seen: Any = None) -> Reader:
    """`seen`: which files were read already, and how they were then (files.Seen)."""
    made: Reader = import_string(settings.SOURCES[location.kind])(
        location.kind, config_of(location), mapping, seen=seen
    )
    return made


def freeze(value: Any) -> Any:
    """Turn a value of a column into JSON, so that a cursor can hold it and `thaw` gives it back."""
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    return value if isinstance(value, int | float | str) or value is None else {"text": str(value)}


def thaw(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    if kind == "time":
        return datetime.fromisoformat(text)
    if kind == "day":
        return date.fromisoformat(text)
    return Decimal(text) if kind == "decimal" else text


def earlier(value: Any) -> Any:
    """Return the value from which to read again, so that what came late is not missed."""
    if isinstance(value, datetime):
        return value - OVERLAP_TIME
    if isinstance(value, date):
        return value - timedelta(days=1)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return value - OVERLAP_NUMBER
    return value
