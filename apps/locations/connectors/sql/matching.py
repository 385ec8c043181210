"""Which rows are a person's, as conditions with bound parameters.

A value never matches more than it says: MySQL compares without case and accents, ignores spaces at the end, and reads
'4x' as 4 beside a number (manual, "Type Conversion in Expression Evaluation"); so values are converted to the column's
type first, and text is compared byte by byte beside the comparison that can use an index.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    LargeBinary,
    String,
    Text,
    and_,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    types,
)  # fmt: skip
from sqlalchemy.dialects import mysql

from apps.locations import known_by
from apps.locations.connectors.sql.rules import Link, kinds_of
from apps.locations.connectors.sql.schema import Schema, is_binary
from apps.locations.contract import Identity

MOST_DIGITS = 18  # of a whole number that fits every BIGINT
PLAIN_TEXTS = (types.String, types.Text, types.VARCHAR, types.TEXT, types.CHAR, types.Unicode, types.UnicodeText)


def check_identity(schema: Schema, who: Identity) -> None:
    """Refuse a person whom no table can know, and values that could mean more than one person."""
    known_by.check_identity(kinds_of(schema.rules.values()), who)


def rows_of(schema: Schema, name: str, who: Identity) -> ColumnElement[bool]:
    """Return the condition of a person's rows in a table; false when nothing there can be theirs."""
    conditions = [_by_link(schema, name, link, who) for link in schema.rules[name].links]
    return or_(*conditions)


def _by_link(schema: Schema, name: str, link: Link, who: Identity) -> ColumnElement[bool]:
    table = schema.table(name)
    if link.parent:
        parents = select(*schema.parent_columns(name, link)).where(rows_of(schema, link.parent, who))
        return among_rows([table.c[column] for column in link.columns], parents)
    column = table.c[link.columns[0]]
    equal = [_equal(schema, column, value, link.ignore_case) for value in known_by.values_of(who, link.kind)]
    return or_(false(), *[found for found in equal if found is not None])


def among_rows(columns: list[Column[Any]], query: Any) -> ColumnElement[bool]:
    """Return "these columns are among what a query gives"."""
    return columns[0].in_(query) if len(columns) == 1 else tuple_(*columns).in_(query)


def _equal(schema: Schema, column: Column[Any], value: str, ignore_case: bool) -> ColumnElement[bool] | None:
    """Return "column = value" for the column's type; None when no value of the type can be equal."""
    kind = column.type
    if isinstance(kind, types.Integer):
        is_whole = re.fullmatch(rf"-?[0-9]{{1,{MOST_DIGITS}}}", value)
        return column == schema.bound(int(value), BigInteger()) if is_whole else None
    if isinstance(kind, types.Numeric):
        number = _number(value)
        return None if number is None else column == schema.bound(number, types.Numeric())
    if isinstance(kind, types.Uuid):
        found = _uuid(value)
        return None if found is None else column == schema.bound(found, kind)
    if is_binary(column):
        found = _uuid(value)
        as_text = column == schema.bound(value.encode(), LargeBinary())
        return as_text if found is None else or_(as_text, column == schema.bound(found.bytes, LargeBinary()))
    return _equal_text(column, schema.bound(value, Text()), schema.dialect, ignore_case)


def _equal_text(column: Column[Any], given: ColumnElement[str], dialect: str, ignore_case: bool) -> ColumnElement[bool]:
    if dialect == "mysql":
        plain = column if isinstance(column.type, String) else cast(column, mysql.CHAR)
        in_utf8 = func.convert(plain.op("USING")(literal_column("utf8mb4")))
        if ignore_case:
            return _bytes(func.lower(in_utf8)) == _bytes(func.lower(given))
        return and_(plain == given, _bytes(in_utf8) == _bytes(given))
    plain = column if type(column.type) in PLAIN_TEXTS else cast(column, Text)
    if ignore_case:
        return func.lower(plain) == func.lower(given)
    return plain.collate("BINARY") == given if dialect == "sqlite" else plain == given


def _bytes(text: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(text, LargeBinary)


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value) if value.isascii() else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
