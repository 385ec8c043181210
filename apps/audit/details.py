"""The types that a detail of an entry may have. None of them can hold a sentence, a name or an address (DESIGN §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol
from uuid import UUID

from apps.audit.errors import UnknownDetail
from apps.audit.handles import is_handle

LARGEST = 2**53 - 1  # JSON readers agree on integers up to here (RFC 8259 §6)


class DetailType(Protocol):
    def encode(self, value: Any) -> Any:
        """Return the JSON value; raises UnknownDetail for anything that is not of this type."""
        ...


def _refuse(wanted: str) -> UnknownDetail:
    return UnknownDetail(f"not {wanted}")  # never the value: an exception message may be logged


@dataclass(frozen=True)
class Whole:
    """A count or a number, 0 or more."""

    def encode(self, value: Any) -> int:
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise _refuse("a whole number")
        return value


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def encode(self, value: Any) -> bool:
        if type(value) is not bool:
            raise _refuse("true or false")
        return value


@dataclass(frozen=True)
class Choice:
    """One word of a closed list."""

    values: tuple[str, ...]

    def encode(self, value: Any) -> str:
        text = str(value) if isinstance(value, str) else ""
        if text not in self.values:
            raise _refuse("one of the list")
        return text


@dataclass(frozen=True)
class Hex:
    """Exactly `size` bytes, given as bytes or lower-case hex: a hash or a public key."""

    size: int

    def encode(self, value: Any) -> str:
        text = bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else value
        if not isinstance(text, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * self.size}}}", text):
            raise _refuse(f"{self.size} bytes")
        return text


@dataclass(frozen=True)
class Id:
    """The UUID of a row."""

    def encode(self, value: Any) -> str:
        if not isinstance(value, UUID):
            raise _refuse("a UUID")
        return str(value)


@dataclass(frozen=True)
class RowId:
    """The id of a row: a UUID or a number."""

    def encode(self, value: Any) -> str | int:
        return Id().encode(value) if isinstance(value, UUID) else Whole().encode(value)


@dataclass(frozen=True)
class HandleOf:
    """A handle made by `handles.new_handle()`."""

    def encode(self, value: Any) -> str:
        if not is_handle(value):
            raise _refuse("a handle")
        return str(value)


@dataclass(frozen=True)
class Day:
    """A date."""

    def encode(self, value: Any) -> str:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise _refuse("a date")
        return value.isoformat()


@dataclass(frozen=True)
class Moment:
    """A point in time, written in UTC."""

    def encode(self, value: Any) -> str:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise _refuse("a time with its zone")
        return moment_text(value)


@dataclass(frozen=True)
class ListOf:
    """Several values of one type, in the order given."""

    item: DetailType

    def encode(self, value: Any) -> list[Any]:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise _refuse("a list")
        return [self.item.encode(one) for one in value]


def moment_text(moment: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds: one spelling for one moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
