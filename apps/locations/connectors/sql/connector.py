"""What the engine asks of a database, answered with the rules of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

from django.utils.translation import gettext_lazy
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    cast,
    func,
    select,
    true,
    type_coerce,
)

from apps.locations import sql
from apps.locations.connectors.sql import changing, checking, paging
from apps.locations.connectors.sql.erasing import Eraser, still_personal
from apps.locations.connectors.sql.exporting import At, Exporter
from apps.locations.connectors.sql.forms import ConfigForm
from apps.locations.connectors.sql.matching import among_rows, check_identity, rows_of
from apps.locations.connectors.sql.rules import ANONYMISE, DELETE, KEEP, TableRule, kinds_of, rules_of
from apps.locations.connectors.sql.saying import sentences
from apps.locations.connectors.sql.schema import ForeignKey, Schema
from apps.locations.contract import (
    Change,
    Entry,
    Health,
    Identity,
    Item,
    Kept,
    Obstacle,
    Progress,
    Remaining,
    Scope,
    new_item,
)
from apps.locations.reasons import Reason
from apps.locations.said import said as _

FOUND_PAGE = 15_000  # keys: 3 MB with their names
JOINING = ("postgresql", "sqlite")  # MySQL cuts what it joins at a length that its operator sets


class SqlConnector:
    label = gettext_lazy("SQL database")
    about = "PostgreSQL, MySQL, MariaDB, SQLite"
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self.rules: list[TableRule] = rules_of(config["tables"])

    @contextmanager
    def _open(self, *, writes: bool = False) -> Iterator[tuple[Connection, Schema]]:
        with sql.connected(self._config, writes=writes) as connection:
            schema = Schema(connection, self.rules)
            try:
                yield connection, schema
            finally:
                schema.forget()

    def identity_kinds(self) -> set[str]:
        return kinds_of(self.rules)

    def summary(self) -> list[str]:
        return [*sentences(self.rules)]

    def check(self) -> Health:
        with self._open() as (connection, schema):
            found = tuple(checking.problems(connection, schema))
            unindexed = ", ".join(checking.missing_indexes(connection, schema))
            emptied = ", ".join(checking.emptied(schema))
            version = checking.version(connection)
        facts = [(_("Server"), version)]
        if unindexed:
            facts.append((_("Columns without an index: each look reads the whole table"), unindexed))
        if emptied:
            facts.append((_("Foreign keys lead in a circle: emptied before the rows go"), emptied))
        days = self._config.get("horizon_days")
        if days is None:
            found = (*found, _("Nobody has said for how long backups and write-ahead logs keep erased rows."))
        return Health(True, _("The database answers."), horizon_days=days, problems=found, facts=tuple(facts))

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        with self._open() as (connection, schema):
            check_identity(schema, who)
            forbidden = sum(_count(connection, schema, *hold) for hold in _holds(schema, who))
            forbidden += sum(
                _count(connection, schema, name, rows_of(schema, name, who)) for name in _in_circle(schema)
            )
            whole = sum(kept.count for kept in self._kept(connection, schema, who) if not kept.without)
        obstacles = [Obstacle(Reason.FOREIGN_KEY, count=forbidden)] if forbidden else []
        return [*obstacles, *([Obstacle(Reason.LEGAL_HOLD, count=whole)] if whole else [])]

    def _kept(self, connection: Connection, schema: Schema, who: Identity) -> tuple[Kept, ...]:
        """Return what stays by the rules; rows that lost the column by which they were known are not found any more."""
        staying = [rule for rule in self.rules if rule.action != DELETE]
        counted = [
            Kept(
                rule.name, _count(connection, schema, rule.name, rows_of(schema, rule.name, who)), rule.why,
                rule.columns if rule.action == ANONYMISE else (),
            )
            for rule in staying
        ]  # fmt: skip
        return tuple(kept for kept in counted if kept.count)

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        return chain.from_iterable(self._found(who))

    def _found(self, who: Identity) -> Iterator[Iterator[Item]]:
        """Yield the rows of each page, as an iterator: there may be very many."""
        with self._open() as (connection, schema):
            check_identity(schema, who)
            for rule in self.rules:
                condition, key = rows_of(schema, rule.name, who), schema.key(rule.name)
                query = select(*key).order_by(*key).limit(FOUND_PAGE)
                behind: list[ColumnElement[bool]] = []
                while True:
                    keys, last = _keys(connection, query.where(condition, *behind), key)
                    yield _items(rule.name, keys)
                    if len(keys) < FOUND_PAGE:
                        break
                    bound = [schema.bound(value, column.type) for value, column in zip(last, key, strict=True)]
                    behind = paging.after(key, bound)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each table's rows as JSON lines (and CSV where that is asked for), and its large values as files."""
        with self._open() as (connection, schema):
            check_identity(schema, who)
            conditions = [(rule.name, rows_of(schema, rule.name, who)) for rule in self.rules]
            exporter = Exporter(connection, schema, conditions)
            yield from exporter.entries(At.read(cursor), with_csv="csv" in scope.formats)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        with self._open(writes=True) as (connection, schema):
            check_identity(schema, who)
            yield from Eraser(connection, schema, who).progress(cursor)

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        with self._open(writes=True) as (connection, schema):
            check_identity(schema, who)
            return changing.rectify(connection, schema, who, changes)

    def restrict(self, who: Identity, on: bool) -> int:
        with self._open(writes=True) as (connection, schema):
            check_identity(schema, who)
            return changing.restrict(connection, schema, who, on=on)

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Count again on a connection of its own, past every transaction of the erasure."""
        with self._open() as (connection, schema):
            check_identity(schema, who)
            left = 0
            for rule in self.rules:
                if rule.action != KEEP:
                    left += _count(connection, schema, rule.name, still_personal(schema, rule, who))
            kept = self._kept(connection, schema, who)
            whole = sum(one.count for one in kept if not one.without)
            holds = (_count(connection, schema, *hold) for hold in _holds(schema, who))
            if left and (_in_circle(schema) or any(holds)):
                return Remaining(left + whole, Reason.FOREIGN_KEY, kept=kept)
        if left:
            return Remaining(left + whole, Reason.CANNOT_DELETE, kept=kept)
        return Remaining(whole, Reason.LEGAL_HOLD if whole else "", kept=kept)


def _keys(connection: Connection, query: Select[Any], key: Sequence[Column[Any]]) -> tuple[list[str], Sequence[Any]]:
    """Return the keys that a query gives as text, and the last one as it is.

    Whole numbers the database writes one below the other into one value: that takes half the time of as many rows.
    """
    with sql.remembering(connection), sql.transaction(connection):
        if len(key) == 1 and isinstance(key[0].type, Integer) and connection.dialect.name in JOINING:
            page = query.subquery()
            as_text = type_coerce if connection.dialect.name == "sqlite" else cast  # SQLite takes numbers as they are
            numbers = func.aggregate_strings(as_text(page.c[0], Text), "\n")
            count, last, text = connection.execute(select(func.count(), func.max(page.c[0]), numbers)).one()
            keys = text.split("\n") if text else []
            if len(keys) == count and (not keys or "".join(keys).isdecimal()):
                return keys, [last]
        rows = connection.execute(query).all()
    return ["/".join(map(str, row)) for row in rows], rows[-1] if rows else []


def _items(table: str, keys: list[str]) -> Iterator[Item]:
    """Return rows by their keys; a key that is no number may say something about the person and is not shown."""
    before, hidden = f"{table}/", f"{table}/…"
    names = [before + key for key in keys]
    shown = names
    if not "".join(keys).isdecimal():
        shown = [name if key.isdecimal() else hidden for key, name in zip(keys, names, strict=True)]
    values = zip(names, repeat("row"), repeat(None), repeat(None), shown, repeat(table))
    return map(new_item, values)


def _count(connection: Connection, schema: Schema, name: str, condition: ColumnElement[bool]) -> int:
    with sql.transaction(connection):
        return int(connection.scalar(select(func.count()).select_from(schema.table(name)).where(condition)) or 0)


def _holds(schema: Schema, who: Identity) -> Iterator[tuple[str, ColumnElement[bool]]]:
    """Yield the rows that point to the person's, stay, and by a foreign key forbid that those go."""
    for rule in schema.rules.values():
        if rule.action != DELETE:
            continue
        for key in schema.pointing_to(rule.name):
            if key.forbids and not _lets_go(schema, key):
                table, target = schema.table(key.table), schema.table(rule.name)
                mine = select(*[target.c[name] for name in key.target_columns]).where(rows_of(schema, rule.name, who))
                pointing = among_rows([table.c[name] for name in key.columns], mine)
                yield key.table, and_(pointing, _stays(schema, key.table, who))


def _in_circle(schema: Schema) -> list[str]:
    """Return the tables whose rows nobody can erase one after the other: each waits for another of them."""
    return sorted({name for name in schema.order().circle if schema.rules[name].action == DELETE})


def _lets_go(schema: Schema, key: ForeignKey) -> bool:
    """Say whether anonymising the pointing row empties its pointer before the row it points to goes."""
    rule = schema.rules.get(key.table)
    return rule is not None and rule.action == ANONYMISE and any((name, None) in rule.values for name in key.columns)


def _stays(schema: Schema, name: str, who: Identity) -> ColumnElement[bool]:
    rule = schema.rules.get(name)
    if rule is None or rule.action != DELETE:
        return true()
    return rows_of(schema, name, who).is_not(true())
