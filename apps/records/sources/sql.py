"""A table of messages in a SQL database. What changed is found by the watermark; each such conversation is read whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from sqlalchemy import ColumnElement, MetaData, Table, and_, func, inspect, or_, select, type_coerce
from sqlalchemy.types import NullType

from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said
from apps.locations.sql import engine_of, foreign_errors
from apps.records.importers.types import Skipped
from apps.records.sources.mapping import Mapping, group_rows
from apps.records.sources.reading import Batch, Cursor, earlier, freeze, thaw

CONVERSATIONS_A_BATCH = 50


class SqlReader:
    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Any = None) -> None:
        self.mapping = Mapping.of(mapping)
        self.engine = engine_of(config)

    def check(self) -> list[str]:
        schema, name = self._named()
        with foreign_errors(), self.engine.connect() as connection:
            inspector = inspect(connection)
            if not inspector.has_table(name, schema) and name not in inspector.get_view_names(schema):
                there = ", ".join(sorted(inspector.get_table_names(schema))[:60])
                return [_("There is no table of this name. There are: %(there)s") % {"there": there}]
            present = [column["name"] for column in inspector.get_columns(name, schema)]
        return self.mapping.missing_from(present)

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """A cursor holds when the reading began and from where (`since`), and the last conversation of it; at its end the
        highest mark.
        """
        table = self._table()
        mark = self._column(table, "watermark") if self.mapping.columns["watermark"] else None
        if not {"begun", "last"} <= cursor.keys():
            since = None
            if "begun" in cursor and mark is not None and cursor["mark"] is not None:
                begun = datetime.fromisoformat(cursor["begun"])
                since = earlier(thaw(cursor["mark"]), begun.astimezone(self.mapping.zone))
            begun_now = timezone.now().isoformat()
            cursor = {"begun": begun_now, "since": freeze(since), "last": None, "mark": cursor.get("mark")}
        while True:
            page = self._changed(table, mark, cursor)
            if not page:
                break
            top, name = page[-1][1], page[-1][0]
            cursor = {**cursor, "last": [freeze(top), freeze(name)], "mark": freeze(top)}
            grouped = group_rows(self._rows(table, [one for one, _top in page]), self.mapping)
            yield Batch(dict(grouped.people), cursor, grouped.troubles)
            if len(page) < CONVERSATIONS_A_BATCH:
                break
        left = {"begun": cursor["begun"], "mark": cursor["mark"]} if mark is not None else {}
        yield Batch({}, left, self._unseen(table, mark))

    def _unseen(self, table: Table, mark: Any) -> list[Skipped]:
        """Count the rows that no query of ours finds; a database that takes too long for that is not asked."""
        name = self._column(table, "conversation")
        nowhere = name.is_(None) if mark is None else or_(name.is_(None), mark.is_(None))
        try:
            with foreign_errors(), self.engine.connect() as connection:
                count = connection.scalar(select(func.count()).select_from(table).where(nowhere))
        except Unavailable:
            return []
        return self.mapping.unseen(int(count or 0))

    def _changed(self, table: Table, mark: Any, cursor: Cursor) -> list[tuple[Any, Any]]:
        """Return conversations and their highest mark, in the order of these."""
        name = self._column(table, "conversation")
        top: ColumnElement[Any] = func.max(mark) if mark is not None else func.count()
        wanted = select(name, top).where(name.is_not(None)).group_by(name)
        if mark is not None:
            wanted = wanted.order_by(func.max(mark), name).where(mark.is_not(None))
            if (since := thaw(cursor["since"])) is not None:
                wanted = wanted.where(mark >= since)
        else:
            wanted = wanted.order_by(name)
        if cursor["last"] is not None:
            last_top, last = (thaw(value) for value in cursor["last"])
            if mark is not None:
                wanted = wanted.having(or_(top > last_top, and_(top == last_top, name > last)))
            else:
                wanted = wanted.where(name > last)
        with foreign_errors(), self.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(wanted.limit(CONVERSATIONS_A_BATCH))]

    def _rows(self, table: Table, names: list[Any]) -> Iterator[dict[str, Any]]:
        used = self.mapping.used()
        name = self._column(table, "conversation")
        order = [self._column(table, meaning) for meaning in ("time", "watermark", "id") if meaning in used]
        wanted = select(*[self._column(table, meaning).label(meaning) for meaning in used])
        with foreign_errors(), self.engine.connect() as connection:
            for row in connection.execute(wanted.where(name.in_(names)).order_by(name, *order)):
                yield dict(row._mapping)

    def _column(self, table: Table, meaning: str) -> ColumnElement[Any]:
        """Return a column. SQLite may hold anything in one of any type, and compares it as it is written there."""
        column = table.c[self.mapping.columns[meaning]]
        return type_coerce(column, NullType()) if self.engine.dialect.name == "sqlite" else column

    def _table(self) -> Table:
        schema, name = self._named()
        with foreign_errors(), self.engine.connect() as connection:
            table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
        gone = [column for column in self.mapping.used().values() if column not in table.c]
        if gone:
            raise Refused(said("A column that the source reads is not there any more: %(names)s.") % {"names": ", ".join(gone)})  # fmt: skip
        return table

    def _named(self) -> tuple[str | None, str]:
        schema, dot, name = self.mapping.table.rpartition(".")
        return (schema, name) if dot else (None, name)
