"""What every reader of a source gives: batches, each with the place from which the next one goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.locations.models import Location
from apps.locations.services import config_of
from apps.records.importers.types import ParsedConversation, Skipped

OVERLAP_TIME = timedelta(minutes=10)  # rows that were committed late, with an earlier time
OVERLAP_NUMBER = 1_000  # the same for numbers that a sequence gave out
SINCE_1970 = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))  # from there on in ns, µs, ms
WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")  # ISO 8601
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


class MadeIds:
    """Ids for the messages of a conversation that have none: by what they say, so that what comes or goes before one
    changes nothing.
    """

    def __init__(self) -> None:
        self._alike: Counter[str] = Counter()

    def of(self, *said: str) -> str:
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
        self._alike[digest] += 1
        return f"{digest}-{self._alike[digest]}"


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
    if isinstance(value, Decimal | UUID):
        return {type(value).__name__.lower(): str(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": bytes(value).hex()}
    return value if isinstance(value, int | float | str) or value is None else {"text": str(value)}


THAWED: dict[str, Callable[[str], Any]] = {
    "time": datetime.fromisoformat,
    "day": date.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": bytes.fromhex,
    "text": str,
}


def thaw(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    return THAWED[kind](text)


def earlier(value: Any, begun: datetime) -> Any:
    """Return the value from which to read again, so that what came late is not missed.

    `begun`: when the last reading began, in the zone of times that name none. A time beyond it, of a clock that is wrong,
    would hide all that is written until then.
    """
    if isinstance(value, datetime):
        return min(value, begun if value.tzinfo else begun.replace(tzinfo=None)) - OVERLAP_TIME
    if isinstance(value, date):
        return min(value, begun.date()) - timedelta(days=1)
    if isinstance(value, str) and WRITTEN_TIME.match(value):
        with suppress(ValueError):  # the 31st of February
            moment = min(datetime.fromisoformat(value[:19]), begun.replace(tzinfo=None)) - OVERLAP_TIME
            return moment.isoformat(value[10], "seconds")
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        second = next((unit for least, unit in SINCE_1970 if value >= least), None)
        return value - (OVERLAP_NUMBER if second is None else int(OVERLAP_TIME.total_seconds()) * second)
    return value
