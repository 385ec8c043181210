"""Going through rows in the order of their key, a page at a time, and remembering where a page ended.

A page is found again by its last key ("keyset"), never by counting: rows that go or come meanwhile shift nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Integer,
    Uuid,
    and_,
    any_,
    literal,
    literal_column,
    or_,
    tuple_,
)  # fmt: skip

from apps.locations.errors import Refused
from apps.locations.said import said as _

Key = tuple[Any, ...]
READERS: dict[str, Any] = {
    "uuid": UUID, "decimal": Decimal, "datetime": datetime.fromisoformat, "date": date.fromisoformat,
    "time": time.fromisoformat, "bytes": bytes.fromhex,
}  # fmt: skip


def after(
    columns: Sequence[Column[Any]], key: Sequence[Any] | None, *, backwards: bool = False
) -> list[ColumnElement[bool]]:
    """Return the condition "behind this key". Spelled out: MySQL finds no index for (a, b) > (1, 2)."""
    if key is None:
        return []
    ways = [
        and_(
            *[column == value for column, value in zip(columns[:place], key, strict=False)],
            columns[place] < key[place] if backwards else columns[place] > key[place],
        )
        for place in range(len(columns))
    ]
    if len(columns) == 1:
        return ways
    return [columns[0] <= key[0] if backwards else columns[0] >= key[0], or_(*ways)]


def among(columns: Sequence[Column[Any]], keys: Sequence[Key], dialect: str) -> ColumnElement[bool]:
    """Return the condition "one of these rows". A thousand parameters take longer than the DELETE that they are for.

    PostgreSQL takes the keys as one value. Elsewhere whole numbers stand in the statement as they are, and nothing else.
    """
    if len(columns) > 1:
        return tuple_(*columns).in_(keys)
    values = [key[0] for key in keys]
    if dialect == "postgresql" and isinstance(columns[0].type, (Integer, Uuid)):
        return columns[0] == any_(literal(values, ARRAY(columns[0].type)))
    if values and all(type(value) is int for value in values):
        return columns[0].bool_op("IN")(literal_column(f"({', '.join(map(str, values))})"))
    return columns[0].in_(values)


def written(key: Key | None) -> list[Any] | None:
    """Return a key as JSON can hold it."""
    return None if key is None else [_written(value) for value in key]


def _written(value: Any) -> Any:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, (UUID, Decimal)):
        return {type(value).__name__.lower(): str(value)}
    if isinstance(value, (datetime, date, time)):
        return {type(value).__name__: value.isoformat()}
    raise Refused(_("The primary key of a table is of a type that cannot be gone through one after the other."))


def read(stored: list[Any] | None) -> Key | None:
    """Return a key as it was."""
    if stored is None:
        return None
    return tuple(_read(value) for value in stored)


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return READERS[kind](text)
