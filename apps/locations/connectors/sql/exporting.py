"""A person's rows as files of an archive: JSON lines for each table, CSV where it is asked for, large values apart.

A value above INLINE is not read with its row: it becomes a file of its own, fetched in pieces, so that memory stays flat.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Text,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    type_coerce,
    types,
)  # fmt: skip

from apps.locations import sql
from apps.locations.connectors.sql import paging
from apps.locations.connectors.sql.schema import Schema, is_binary
from apps.locations.contract import Entry

INLINE = 32 * 1024  # bytes of a value that stand in its row
PAGE, PAGE_OF_LARGE = 1000, 500  # rows; the second where a table can hold large values, unless those before were small
SMALL_PAGE = 1024 * 1024  # bytes
PIECE = 4 * 1024 * 1024  # characters or bytes fetched at once: an entry, so that a large value crosses batches
LONGEST_SMALL_TEXT = 8192
INDEX_NAME, JSON_TYPE, CSV_TYPE = "index.jsonl", "application/x-ndjson", "text/csv"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would carry out (OWASP, "CSV Injection")
OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS

Pending = tuple[str, str, paging.Key, int]  # file, column, key of the row, how much of the value is written


@dataclass(frozen=True)
class At:
    """Where an export is; its text names keys of rows, so the engine seals it."""

    table: int = 0
    as_csv: bool = False
    key: paging.Key | None = None  # behind which to go on
    is_ended: bool = False  # the file of the table is written
    rows: int = 0
    files: int = 0  # large values named so far
    is_indexed: bool = False
    pending: tuple[Pending, ...] = ()  # large values of rows that are written

    @classmethod
    def read(cls, cursor: str) -> At:
        if not cursor:
            return cls()
        table, as_csv, key, is_ended, rows, files, is_indexed, pending = json.loads(cursor)
        waiting = tuple((name, column, paging.read(of) or (), offset) for name, column, of, offset in pending)
        return cls(table, as_csv, paging.read(key), is_ended, rows, files, is_indexed, waiting)

    @property
    def text(self) -> str:
        waiting = [[name, column, paging.written(of), offset] for name, column, of, offset in self.pending]
        key = paging.written(self.key)
        return json.dumps(
            [self.table, self.as_csv, key, self.is_ended, self.rows, self.files, self.is_indexed, waiting]
        )


class Exporter:
    """Writes the rows that each table's condition gives."""

    def __init__(
        self, connection: Connection, schema: Schema, conditions: Sequence[tuple[str, ColumnElement[bool]]]
    ) -> None:
        self._connection, self._schema, self._conditions = connection, schema, conditions
        self._is_small = False  # whether the last page was: a hint, so that it need not be in the cursor

    def entries(self, at: At, *, with_csv: bool) -> Iterator[Entry]:
        entry: Entry | None
        while at.table < len(self._conditions):
            if at.pending:
                entry, at = self._large_value(at)
            elif not at.is_ended:
                entry, at = self._page(at)
            elif with_csv and not at.as_csv and at.rows:
                at = replace(at, as_csv=True, key=None, is_ended=False)
                continue
            else:
                entry, at = self._index_line(at)
            if entry is not None:
                yield entry
        if at.is_indexed and at.table == len(self._conditions):
            at = replace(at, table=at.table + 1)
            yield Entry(INDEX_NAME, JSON_TYPE, [], at.text, part="last", count=0)

    def _index_line(self, at: At) -> tuple[Entry | None, At]:
        following = At(at.table + 1, files=at.files, is_indexed=at.is_indexed or bool(at.rows))
        if not at.rows:
            return None, following
        name, file = self._conditions[at.table][0], self._file(replace(at, as_csv=False))
        line = orjson.dumps({"name": name, "file": file, "rows": at.rows}, option=OPTIONS)
        return Entry(INDEX_NAME, JSON_TYPE, [line], following.text, part="piece", count=0), following

    def _file(self, at: At) -> str:
        name = self._conditions[at.table][0].lower().replace(".", "-")
        slug = f"-{name}" if re.fullmatch(r"[a-z0-9_-]{1,40}", name) else ""
        return f"{at.table + 1:02d}{slug}.{'csv' if at.as_csv else 'jsonl'}"

    def _page(self, at: At) -> tuple[Entry | None, At]:
        name, condition = self._conditions[at.table]
        table, key = self._schema.table(name), self._schema.key(name)
        columns = list(table.c)
        large = [column for column in columns if _may_be_large(column)]
        size = PAGE_OF_LARGE if large and not self._is_small else PAGE
        fields = [_within_limit(column, self._schema.dialect) if column in large else raw(column) for column in columns]
        lengths = [_length(column, self._schema.dialect) for column in large]
        query = (
            select(*fields, *lengths, *[column.label(None) for column in key])
            .where(condition, *paging.after(key, at.key))
            .order_by(*key)
            .limit(size + 1)
        )
        with sql.transaction(self._connection):
            rows = self._connection.execute(query).all()
        is_more, rows = len(rows) > size, rows[:size]
        is_first = at.key is None
        if not rows and is_first:
            return None, replace(at, is_ended=True)
        written, at = self._lines(at, columns, large, rows, is_first=is_first)
        self._is_small = is_more and len(written) <= SMALL_PAGE and not at.pending
        at = replace(at, is_ended=not is_more, key=tuple(rows[-1][-len(key) :]) if rows else at.key)
        part = "piece" if is_more else "whole" if is_first else "last"
        media_type = CSV_TYPE if at.as_csv else JSON_TYPE
        return Entry(self._file(at), media_type, [written], at.text, part, 0 if at.as_csv else len(rows)), at

    def _lines(
        self, at: At, columns: list[Column[Any]], large: list[Column[Any]], rows: Sequence[Any], *, is_first: bool
    ) -> tuple[bytes, At]:
        """Return the page as bytes; each large value gets a name and waits for its turn."""
        names = [column.name for column in columns]
        lengths_end = len(names) + len(large)
        at_length = list(zip(large, range(len(names), lengths_end), strict=True))
        lines, pending, files = [], [], at.files
        for row in rows:
            line: dict[str, Any] = dict(zip(names, row, strict=False))  # behind them: lengths, and the key
            for column, place in at_length:
                length = row[place]
                if length is None or length <= INLINE:
                    continue
                files += 0 if at.as_csv else 1
                file = f"{at.table + 1:02d}-{files:06d}{'.bin' if is_binary(column) else '.txt'}"
                line[column.name] = {"bytes": length} if at.as_csv else {"file": file, "bytes": length}
                pending.append((file, column.name, tuple(row[lengths_end:]), 0))
            lines.append(line)
        if at.as_csv:
            return _as_csv(names, lines, with_head=is_first), at
        data = b"".join(orjson.dumps(line, default=_plain, option=OPTIONS) for line in lines)
        return data, replace(at, rows=at.rows + len(rows), files=files, pending=tuple(pending))

    def _large_value(self, at: At) -> tuple[Entry, At]:
        """Write the next pieces of a large value. One that changed meanwhile ends where it ends now."""
        file, name, key, offset = at.pending[0]
        read = self._piece(at.table, name, key, offset)
        is_last = len(read) < PIECE
        left = at.pending[1:] if is_last else ((file, name, key, offset + PIECE), *at.pending[1:])
        part = ("whole" if offset == 0 else "last") if is_last else "piece"
        at = replace(at, pending=left)
        data = read.encode() if isinstance(read, str) else bytes(read)
        media_type = "text/plain" if file.endswith(".txt") else "application/octet-stream"
        return Entry(file, media_type, [data], at.text, part=part, count=0), at

    def _piece(self, number: int, name: str, key: paging.Key, offset: int) -> str | bytes:
        table, columns = self._conditions[number][0], self._schema.key(self._conditions[number][0])
        column = self._schema.table(table).c[name]
        part = func.substr(_streamed(column, self._schema.dialect), offset + 1, PIECE)
        query = select(type_coerce(part, types.NullType())).where(paging.among(columns, [key], self._schema.dialect))
        with sql.transaction(self._connection):
            read: str | bytes | None = self._connection.execute(query).scalar()
        return b"" if read is None else read


def raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Read what the driver gives: SQLite may hold anything in a column of any type."""
    return type_coerce(column, types.NullType()).label(None)


def _may_be_large(column: Column[Any]) -> bool:
    kind = column.type
    if isinstance(kind, types.Enum):
        return False
    if isinstance(kind, types.String):
        return kind.length is None or kind.length > LONGEST_SMALL_TEXT
    return is_binary(column) or isinstance(kind, (types.JSON, types.NullType))


def _length(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """Return the bytes of a value. PostgreSQL knows them without reading a value that is stored apart."""
    if dialect == "postgresql":
        is_plain = isinstance(column.type, types.String) or is_binary(column)
        return func.octet_length(column if is_plain else cast(column, Text))
    return func.length(cast(column, LargeBinary)) if dialect == "sqlite" else func.length(column)


def _within_limit(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    return raw(case((_length(column, dialect) <= INLINE, column), else_=null()))


def _streamed(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """Return a large value as substr() can cut it: bytes, or characters."""
    if dialect == "sqlite":
        return cast(column, LargeBinary)
    if dialect == "mysql":
        return column if is_binary(column) else func.convert(column.op("USING")(literal_column("utf8mb4")))
    return column if isinstance(column.type, types.String) or is_binary(column) else cast(column, Text)


def _plain(value: Any) -> Any:
    """Say what JSON has no word for."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value)


def _as_csv(names: list[str], lines: list[dict[str, Any]], *, with_head: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    if with_head:
        writer.writerow([_cell(name) for name in names])
    writer.writerows([[_cell(value) for value in line.values()] for line in lines])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (dict, list, bytes, bytearray, memoryview)):
        value = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
