"""Erasing a person's rows: deleted, or their columns overwritten, in batches that each are one transaction.

Before a row goes, what hangs on it is looked for again in the same transaction, so that nothing is left that nobody could
find any more. A batch that a foreign key forbids is repeated row by row: one row that must stay does not keep the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, literal, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import NullType

from apps.locations import sql
from apps.locations.connectors.sql import paging
from apps.locations.connectors.sql.matching import rows_of
from apps.locations.connectors.sql.rules import ANONYMISE, DELETE, KEEP, Link, TableRule
from apps.locations.connectors.sql.schema import ForeignKey, Schema
from apps.locations.contract import Identity, Kept, Progress
from apps.locations.errors import Unavailable
from apps.locations.said import said as _

BATCH = 1000  # rows in one DELETE
ROUNDS = 5  # how often the order is begun anew because somebody adds rows meanwhile
DEADLOCK_TRIES = 3
Done = TypeVar("Done")


def still_personal(schema: Schema, rule: TableRule, who: Identity) -> ColumnElement[bool]:
    """Return the condition of the rows that an erasure still has to do something about."""
    return and_(rows_of(schema, rule.name, who), _unlike(schema, rule))


def _unlike(schema: Schema, rule: TableRule) -> ColumnElement[bool]:
    """Return the condition "not anonymised yet"; true where rows are deleted."""
    if rule.action != ANONYMISE:
        return true()
    table = schema.table(rule.name)
    return or_(*[table.c[name].is_distinct_from(fixed(value)) for name, value in rule.values])


def fixed(value: str | None) -> Any:
    """Return what a column is overwritten with: NULL, or text that the database reads as the column's type."""
    return None if value is None else literal(value, NullType())


class Eraser:
    def __init__(self, connection: Connection, schema: Schema, who: Identity) -> None:
        self._connection, self._schema = connection, schema
        self._order, self._emptied, _circle = schema.order()
        self._theirs = {rule.name: rows_of(schema, rule.name, who) for rule in self._order}
        self._left = 0  # rows of this round on which something hangs
        self._forbidding: set[str] = (
            set()
        )  # tables that something forbids to erase from, of which we see no foreign key

    def progress(self, cursor: str) -> Iterator[Progress]:
        """Erase table after table. A cursor says the table and the key behind which to go on.

        Rows on which something hangs are left for another round, which takes first what has come meanwhile.
        """
        for pointer in self._emptied:
            yield from (Progress(0, cursor) for _batch in self._empty(pointer))
        start, key = json.loads(cursor) if cursor else ("", None)
        for number in range(ROUNDS):
            self._left, erased = 0, 0
            for progress in self._round(start, paging.read(key)):
                erased += progress.erased
                yield progress
            start, key = "", None
            if not self._left or (number and not erased):
                return  # what cannot go is found again, with the reason, at the second look
        raise Unavailable(_("Rows of this person are added as fast as they are erased."))

    def _empty(self, pointer: ForeignKey) -> Iterator[int]:
        """Empty a pointer that closes a circle of foreign keys, in rows that go as well; yield how many a batch."""
        table, columns = self._schema.table(pointer.table), self._schema.key(pointer.table)
        empty = dict.fromkeys(self._schema.may_be_empty(pointer))
        full = select(*columns).where(self._theirs[pointer.table], *[table.c[name].is_not(None) for name in empty])
        key: paging.Key | None = None
        while True:
            with sql.transaction(self._connection):
                page = full.where(*paging.after(columns, key)).order_by(*columns).limit(BATCH)
                keys = self._connection.execute(page).all()
                these = paging.among(columns, keys, self._schema.dialect)
                if keys:
                    self._connection.execute(update(table).where(these, self._theirs[pointer.table]).values(empty))
            if not keys:
                return
            key = keys[-1]
            yield len(keys)

    def _round(self, start: str, key: paging.Key | None) -> Iterator[Progress]:
        names = [rule.name for rule in self._order]
        first = names.index(start) if start in names else 0
        for rule in self._order[first:]:
            if rule.action != KEEP:
                yield from self._table(rule, key if rule.name == start else None)

    def _table(self, rule: TableRule, key: paging.Key | None) -> Iterator[Progress]:
        """Erase a table's rows. One that points to itself (an answer to a message) from its end: the answer goes first."""
        columns, backwards = self._schema.key(rule.name), self._schema.points_to_itself(rule.name)
        todo = select(*columns).where(self._theirs[rule.name], _unlike(self._schema, rule))
        first = todo.order_by(*[column.desc() if backwards else column for column in columns]).limit(BATCH)
        children = list(self._children(rule))
        while True:
            query = first.where(*paging.after(columns, key, backwards=backwards))
            try:
                keys, erased = self._retried(partial(self._batch, rule, children, query))
            except sql.ForeignKeyForbids:
                if rule.name in self._forbidding:
                    raise
                self._forbidding.add(rule.name)
                continue
            if not keys:
                return
            key = keys[-1]
            written = json.dumps([rule.name, paging.written(key)])
            if rule.action == ANONYMISE:
                kept = (Kept(rule.name, erased, rule.why, rule.columns),) if erased else ()
                yield Progress(erased, written, {"rows overwritten": erased}, kept)
            else:
                yield Progress(erased, written, {"rows": erased})
            if len(keys) < BATCH:
                return

    def _retried(self, act: Callable[[], Done]) -> Done:
        for _number in range(DEADLOCK_TRIES - 1):
            try:
                return act()
            except sql.Deadlock:
                continue
        return act()

    def _batch(
        self, rule: TableRule, children: list[tuple[TableRule, Link]], query: Select[Any]
    ) -> tuple[Sequence[paging.Key], int]:
        """Erase the next rows in one transaction; return their keys, and how many went."""
        with sql.transaction(self._connection):
            keys = self._connection.execute(query).all()
            busy = {found for child, link in children for found in self._with_children(child, link, rule, keys)}
            self._left += len(busy)
            return keys, self._erase_most(rule, [key for key in keys if key not in busy] if busy else keys)

    def _children(self, rule: TableRule) -> Iterator[tuple[TableRule, Link]]:
        for child in self._order:
            if child.action != KEEP:
                yield from ((child, link) for link in child.links if link.parent == rule.name)

    def _with_children(
        self, child: TableRule, link: Link, rule: TableRule, keys: Sequence[paging.Key]
    ) -> Iterator[paging.Key]:
        """Yield the keys of rows on which a child still hangs."""
        if not keys:
            return
        table, columns = self._schema.table(child.name), self._schema.key(rule.name)
        pairs = zip(link.columns, self._schema.parent_columns(child.name, link), strict=True)
        hanging = exists().where(*[table.c[name] == column for name, column in pairs], _unlike(self._schema, child))
        for row in self._connection.execute(
            select(*columns).where(paging.among(columns, keys, self._schema.dialect), hanging)
        ):
            yield tuple(row)

    def _erase_most(self, rule: TableRule, keys: Sequence[paging.Key]) -> int:
        """Erase the rows together; where a foreign key forbids that, each by itself, so that most of them go."""
        if not keys:
            return 0
        if not self._schema.pointing_to(rule.name) and rule.name not in self._forbidding:
            return self._erase(rule, keys)
        try:
            with self._connection.begin_nested():
                return self._erase(rule, keys)
        except IntegrityError as error:
            if not isinstance(sql.meaning_of(error), sql.ForeignKeyForbids):
                raise
        erased = 0
        for key in keys if self._schema.points_to_itself(rule.name) else reversed(keys):
            try:
                with self._connection.begin_nested():
                    erased += self._erase(rule, [key])
            except IntegrityError as error:
                if not isinstance(sql.meaning_of(error), sql.ForeignKeyForbids):
                    raise
        return erased

    def _erase(self, rule: TableRule, keys: Sequence[paging.Key]) -> int:
        """Erase these rows if they still are the person's; return how many the database says it took."""
        table = self._schema.table(rule.name)
        these = (
            paging.among(self._schema.key(rule.name), keys, self._schema.dialect),
            self._theirs[rule.name],
        )
        if rule.action == DELETE:
            return int(self._connection.execute(delete(table).where(*these)).rowcount)
        values = {name: fixed(value) for name, value in rule.values}
        return int(self._connection.execute(update(table).where(*these).values(values)).rowcount)
