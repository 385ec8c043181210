"""The tables of a place as its database describes them: keys, columns, and the foreign keys that point to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    bindparam,
    inspect,
    text,
)

from apps.locations import sql
from apps.locations.connectors.sql.rules import DELETE, Link, TableRule, order_of, split_name
from apps.locations.errors import Refused
from apps.locations.said import said as _

FORBIDDING = {"RESTRICT", "NO ACTION", ""}
SYSTEM_SCHEMAS = {"information_schema", "performance_schema", "mysql", "sys", "pg_catalog", "pg_toast"}
# With a schema as a constant the server opens the tables of that one; without, every table there is.
MYSQL_SCHEMAS = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME"
MYSQL_FOREIGN_KEYS = """
    SELECT k.CONSTRAINT_NAME, k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME,
           k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE
    FROM information_schema.KEY_COLUMN_USAGE k
    JOIN information_schema.REFERENTIAL_CONSTRAINTS r
      ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
    WHERE k.TABLE_SCHEMA = :schema AND r.CONSTRAINT_SCHEMA = :schema AND k.REFERENCED_TABLE_NAME IS NOT NULL
      AND (k.REFERENCED_TABLE_SCHEMA = DATABASE() OR k.TABLE_SCHEMA = DATABASE())
    ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION
"""
# Each row of the catalogue has the number of the transaction that wrote it (PostgreSQL, "System Columns").
POSTGRESQL_STAMP = """
    SELECT concat_ws(' ', c.oid, c.xmin,
        (SELECT string_agg(concat(a.attnum, ':', a.xmin), ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid),
        (SELECT string_agg(concat(i.indexrelid, ':', i.xmin), ' ' ORDER BY i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid))
    FROM pg_class c WHERE c.oid = to_regclass(%s)
"""


@dataclass(frozen=True)
class ForeignKey:
    """`table`.`columns` points to `target`.`target_columns`; names as the rules write them."""

    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str  # RESTRICT, NO ACTION, CASCADE, SET NULL, SET DEFAULT

    @property
    def forbids(self) -> bool:
        return self.on_delete in FORBIDDING


class Order(NamedTuple):
    """The rules, what hangs on a table before it; the pointers to empty before; a circle of foreign keys that stays one."""

    rules: list[TableRule]
    emptied: list[ForeignKey]
    circle: list[str]


class Schema:
    """Reads what the rules name, once; foreign keys only when they are asked for."""

    def __init__(self, connection: Connection, rules: list[TableRule]) -> None:
        self._connection = connection
        self._values: list[Any] = []
        self.rules = {rule.name: rule for rule in rules}
        self._tables: dict[str, Table] = {}
        self._foreign_keys: list[ForeignKey] | None = None

    @property
    def dialect(self) -> str:
        return self._connection.dialect.name

    def bound(self, value: Any, kind: Any) -> BindParameter[Any]:
        """Return a value as a parameter that does not hold it: a statement may be remembered, whoever it was made for."""
        self._values.append(value)
        return bindparam(
            None, callable_=partial(self._values.__getitem__, len(self._values) - 1), type_=kind, unique=True
        )

    def forget(self) -> None:
        """Forget the values of the parameters: statements made with them cannot be carried out any more."""
        self._values.clear()

    def table(self, name: str) -> Table:
        """Return a table; raises Refused when a column that the rules name is not there."""
        if name not in self._tables:
            self._tables[name] = self._read(name)
        return self._tables[name]

    def _read(self, name: str) -> Table:
        """Return a table as the database describes it now; that of an earlier connection if nothing has changed."""
        tables = sql.known_of(self._connection).tables
        stamp = self._stamp(name)
        before, table = tables.get(name, ("", None))
        if table is None or not stamp or before != stamp:
            columns, key = self._described(name)
            stamp = stamp or repr((columns, key))
            if table is None or before != stamp:
                tables[name] = stamp, (table := _made(name, columns, key))
        rule = self.rules.get(name)
        for link in rule.links if rule else ():
            _check_columns(table, link.columns)
        if rule:
            _check_columns(table, [column for column, _value in rule.values])
            _check_columns(table, [rule.mark] if rule.mark else [])
        return table

    def _stamp(self, name: str) -> str:
        """Return what is another after each change of a table, in one quick query; "" where there is none."""
        if self.dialect == "sqlite":
            try:
                file = Path(str(self._connection.engine.url.database)).stat()
            except OSError:
                return ""
            version = self._connection.exec_driver_sql("PRAGMA schema_version").scalar()
            return f"{file.st_dev} {file.st_ino} {version}"
        if self.dialect == "postgresql":
            quoted = ".".join('"' + part.replace('"', '""') + '"' for part in split_name(name) if part)
            return str(self._connection.exec_driver_sql(POSTGRESQL_STAMP, (quoted,)).scalar() or "")
        return ""

    def _described(self, name: str) -> tuple[list[tuple[str, Any, bool]], list[str]]:
        """Read columns and key only: a whole reflection asks for much more."""
        schema, bare = split_name(name)
        with sql.remembering(self._connection):
            inspector = inspect(self._connection)
            columns = inspector.get_columns(bare, schema=schema)
            key = inspector.get_pk_constraint(bare, schema=schema)["constrained_columns"]
        return [(one["name"], one["type"], one["nullable"]) for one in columns], key

    def key(self, name: str) -> list[Column[Any]]:
        """Return the columns that tell rows apart and give them an order: the primary key, or a unique one without NULL."""
        table = self.table(name)
        if table.primary_key.columns:
            return list(table.primary_key.columns)
        inspector = inspect(self._connection)
        for unique in inspector.get_unique_constraints(table.name, schema=table.schema):
            columns = [table.c[column] for column in unique["column_names"]]
            if columns and not any(column.nullable for column in columns):
                return columns
        raise Refused(
            _("The table %(name)s has no primary key: its rows cannot be gone through one after the other.")
            % {"name": name}
        )

    def parent_columns(self, child: str, link: Link) -> list[Column[Any]]:
        """Return what the columns of a link point to: by the foreign key if there is one, else the parent's primary key."""
        parent = self.table(link.parent)
        for key in self._outgoing(child):
            if key.target == link.parent and set(key.columns) == set(link.columns):
                by_column = dict(zip(key.columns, key.target_columns, strict=True))
                return [parent.c[by_column[column]] for column in link.columns]
        columns = list(parent.primary_key.columns)
        if len(columns) != len(link.columns):
            raise Refused(
                _("The columns by which %(table)s belongs to %(parent)s do not fit its primary key.")
                % {"table": child, "parent": link.parent}
            )
        return columns

    def _outgoing(self, name: str) -> Iterator[ForeignKey]:
        schema, bare = split_name(name)
        default = inspect(self._connection).default_schema_name
        for found in inspect(self._connection).get_foreign_keys(bare, schema=schema):
            yield _foreign_key(name, found, default, self.rules)

    def foreign_keys(self) -> list[ForeignKey]:
        """Return every foreign key that this database user may see."""
        if self._foreign_keys is None:
            self._foreign_keys = list(self._of_mysql() if self.dialect == "mysql" else self._of_others())
        return self._foreign_keys

    def _of_others(self) -> Iterator[ForeignKey]:
        inspector = inspect(self._connection)
        default = inspector.default_schema_name
        names = [None] if self.dialect == "sqlite" else inspector.get_schema_names()
        for schema in names:
            if schema in SYSTEM_SCHEMAS or (schema or "").startswith("pg_"):
                continue
            for (_schema, bare), found in inspector.get_multi_foreign_keys(schema=schema).items():
                name = _written(schema, bare, default, self.rules)
                for key in found:
                    yield _foreign_key(name, key, default, self.rules)

    def _of_mysql(self) -> Iterator[ForeignKey]:
        default = inspect(self._connection).default_schema_name
        grouped: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
        for schema in self._connection.execute(text(MYSQL_SCHEMAS)).scalars().all():
            if schema.lower() in SYSTEM_SCHEMAS:
                continue
            rows = self._connection.execute(text(MYSQL_FOREIGN_KEYS), {"schema": schema})
            for name, schema_of, bare, column, to_schema, to, to_column, rule in rows:
                grouped.setdefault((name, schema_of, bare, to_schema, to, rule), []).append((column, to_column))
        for (_name, schema, bare, to_schema, to, rule), pairs in grouped.items():
            yield ForeignKey(
                _written(schema, bare, default, self.rules), tuple(pair[0] for pair in pairs),
                _written(to_schema, to, default, self.rules), tuple(pair[1] for pair in pairs), str(rule).upper(),
            )  # fmt: skip

    def pointing_to(self, name: str) -> list[ForeignKey]:
        return [key for key in self.foreign_keys() if key.target == name]

    def points_to_itself(self, name: str) -> bool:
        return any(key.table == name for key in self.pointing_to(name))

    def order(self) -> Order:
        """Return the order of erasing. Of a circle of foreign keys one is left out: one that the database gives way to by
        itself, or one that may be emptied before."""
        rules, emptied = list(self.rules.values()), list[ForeignKey]()
        keys = [key for key in self.foreign_keys() if {key.table, key.target} <= self.rules.keys()]
        keys = [key for key in keys if key.table != key.target]
        while True:
            points_to: dict[str, set[str]] = {}
            for key in keys:
                points_to.setdefault(key.table, set()).add(key.target)
            try:
                return Order(order_of(rules, points_to), emptied, [])
            except CycleError as error:
                circle = list(error.args[1])
            pairs = {frozenset(pair) for pair in pairwise(circle)}
            closing = [key for key in keys if frozenset((key.table, key.target)) in pairs]
            closing.sort(key=lambda key: key.forbids)
            left_out = next((key for key in closing if not key.forbids or self.may_be_empty(key)), None)
            if left_out is None:
                return Order(order_of(rules), emptied, circle)
            keys.remove(left_out)
            emptied += [left_out] if left_out.forbids else []

    def may_be_empty(self, key: ForeignKey) -> list[str]:
        """Return the columns of a pointer that may be NULL in rows that go, and by which nobody finds them."""
        rule, table = self.rules[key.table], self.table(key.table)
        used = {column for link in rule.links for column in link.columns} | {
            column.name for column in self.key(rule.name)
        }
        return [name for name in key.columns if rule.action == DELETE and table.c[name].nullable and name not in used]


def _made(name: str, columns: list[tuple[str, Any, bool]], key: list[str]) -> Table:
    schema, bare = split_name(name)
    described = [Column(column, kind, nullable=nullable) for column, kind, nullable in columns]
    return Table(bare, MetaData(), *described, *([PrimaryKeyConstraint(*key)] if key else []), schema=schema)


def is_binary(column: Column[Any]) -> bool:
    try:
        return column.type.python_type is bytes
    except NotImplementedError:  # a type that SQLAlchemy does not know
        return False


def _check_columns(table: Table, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.c:
            raise Refused(_("The table %(table)s has no column %(name)s.") % {"table": table.name, "name": name})


def _foreign_key(name: str, found: Any, default: str | None, known: Iterable[str]) -> ForeignKey:
    return ForeignKey(
        name, tuple(found["constrained_columns"]),
        _written(found["referred_schema"], found["referred_table"], default, known), tuple(found["referred_columns"]),
        str(found.get("options", {}).get("ondelete") or "").upper(),
    )  # fmt: skip


def _written(schema: str | None, bare: str, default: str | None, known: Iterable[str]) -> str:
    """Return the name of a table as the rules write it: with its schema, or without in the schema of the connection."""
    for name in known:
        its_schema, its_bare = split_name(name)
        if its_bare == bare and (its_schema or default) == (schema or default):
            return name
    parts = [bare] if schema in {None, default} else [str(schema), bare]
    return ".".join(f'"{part}"' if re.search(r"[.\s]", part) else part for part in parts)
