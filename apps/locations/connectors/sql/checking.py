"""What stands in the way of erasing in a database: permissions, replicas, history tables, foreign keys, missing indexes.

Permissions are asked of the database itself: EXPLAIN needs those of the statement that it explains, and touches nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ClauseElement, Connection, delete, false, inspect, select, text, update

from apps.locations import sql
from apps.locations.connectors.sql.rules import ANONYMISE, DELETE, TableRule, split_name
from apps.locations.connectors.sql.schema import Schema
from apps.locations.errors import Refused
from apps.locations.said import said as _

EMPTIES = {"CASCADE", "SET NULL", "SET DEFAULT"}


def problems(connection: Connection, schema: Schema) -> Iterator[str]:
    """Say what is wrong, in plain words; raises Refused where a table or column is not there."""
    for rule in schema.rules.values():
        schema.key(rule.name)
        for link in rule.links:
            if link.parent:
                schema.parent_columns(rule.name, link)
    yield from _server(connection)
    for rule in schema.rules.values():
        yield from _permissions(connection, schema, rule)
        yield from _hidden_rows(connection, rule)
        yield from _columns_that_refuse(schema, rule)
    yield from _foreign_keys(schema)


def _server(connection: Connection) -> Iterator[str]:
    dialect = connection.dialect.name
    if dialect == "postgresql" and connection.scalar(text("SELECT pg_is_in_recovery()")):
        yield _("This server is a replica: nothing can be erased here. Give the address of the primary.")
    if dialect == "mysql" and connection.scalar(text("SELECT @@global.read_only")):
        yield _("This server is read-only: nothing can be erased here. Give the address of the primary.")
    if dialect == "sqlite":
        path = Path(str(connection.engine.url.database))
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            yield _("The file or its folder is read-only: nothing can be erased here.")


def _permissions(connection: Connection, schema: Schema, rule: TableRule) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        return
    table = schema.table(rule.name)
    overwritten = [column for column, _value in rule.values] if rule.action == ANONYMISE else []
    overwritten += [
        name for key in schema.order().emptied if key.table == rule.name for name in schema.may_be_empty(key)
    ]
    wanted: list[tuple[str, ClauseElement]] = [("SELECT", select(table).where(false()))]
    if rule.action == DELETE:
        wanted.append(("DELETE", delete(table).where(false())))
    for column in [*overwritten, *([rule.mark] if rule.mark else [])]:
        wanted.append(("UPDATE", update(table).where(false()).values({column: table.c[column]})))
    for permission, statement in wanted:
        try:
            with sql.transaction(connection):
                connection.exec_driver_sql(f"EXPLAIN {statement.compile(connection)}")
        except Refused:
            yield _("The permission %(permission)s on %(table)s is missing.") % {"permission": permission, "table": rule.name}  # fmt: skip


def _hidden_rows(connection: Connection, rule: TableRule) -> Iterator[str]:
    """Tell of rows that a query does not show: hidden by row-level security, or kept as history."""
    schema, bare = split_name(rule.name)
    where = {"schema": schema, "bare": bare}
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT bool_or(row_security_active(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = :bare AND n.nspname = coalesce(:schema, current_schema())"
        )
        if connection.scalar(text(query), where):
            yield _("Row-level security hides rows of %(table)s from this user: they could not be erased.") % {"table": rule.name}  # fmt: skip
    if connection.dialect.name == "mysql" and is_versioned(connection, rule.name):
        yield _("%(table)s keeps every old version of a row (system versioning): what is deleted stays in its history.") % {"table": rule.name}  # fmt: skip


def is_versioned(connection: Connection, name: str) -> bool:
    """Say whether MariaDB keeps old versions of the rows of a table."""
    schema, bare = split_name(name)
    query = "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_NAME = :bare AND TABLE_SCHEMA = coalesce(:schema, DATABASE())"  # fmt: skip
    kind = connection.scalar(text(query), {"schema": schema, "bare": bare})
    return str(kind).upper() == "SYSTEM VERSIONED"


def emptied(schema: Schema) -> Iterator[str]:
    """Name the pointers that are emptied before their rows go, because foreign keys lead in a circle."""
    for key in schema.order().emptied:
        yield f"{key.table} ({', '.join(schema.may_be_empty(key))})"


def _columns_that_refuse(schema: Schema, rule: TableRule) -> Iterator[str]:
    if rule.action != ANONYMISE:
        return
    table = schema.table(rule.name)
    for name, value in rule.values:
        if value is None and not table.c[name].nullable:
            yield _("The column %(column)s of %(table)s may not be empty: write a fixed text for it.") % {"column": name, "table": rule.name}  # fmt: skip
        if name in table.primary_key.columns:
            yield _("The column %(column)s of %(table)s is its primary key and cannot be anonymised.") % {"column": name, "table": rule.name}  # fmt: skip


def _foreign_keys(schema: Schema) -> Iterator[str]:
    circle = schema.order().circle
    if circle:
        yield _("Foreign keys lead in a circle: %(circle)s. Rows may have to be deleted by hand.") % {"circle": " → ".join(circle)}  # fmt: skip
    for rule in schema.rules.values():
        if rule.action != DELETE:
            continue
        for key in schema.pointing_to(rule.name):
            said = {"table": key.table, "column": ", ".join(key.columns), "target": rule.name}
            if key.table not in schema.rules and key.forbids:
                yield _("%(table)s (%(column)s) points to %(target)s and is not among the tables: rows it points to cannot be deleted.") % said  # fmt: skip
            elif key.table not in schema.rules and key.on_delete in EMPTIES:
                yield _("%(table)s (%(column)s) hangs on %(target)s and is not among the tables: the database changes it by itself, and nobody can read it.") % said  # fmt: skip


def missing_indexes(connection: Connection, schema: Schema) -> Iterator[str]:
    """Name the columns by which people are looked for without an index: each look reads the whole table."""
    inspector = inspect(connection)
    for rule in schema.rules.values():
        table = schema.table(rule.name)
        begins = {str(column["column_names"][0]) for column in inspector.get_indexes(table.name, schema=table.schema) if column["column_names"]}  # fmt: skip
        begins |= {unique["column_names"][0] for unique in inspector.get_unique_constraints(table.name, schema=table.schema)}  # fmt: skip
        begins |= {column.name for column in list(table.primary_key.columns)[:1]}
        for link in rule.links:
            if link.columns[0] not in begins:
                yield f"{rule.name}.{link.columns[0]}"


def version(connection: Connection) -> str:
    numbers = ".".join(str(part) for part in (connection.dialect.server_version_info or ()))
    names = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
    name = "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else names[connection.dialect.name]
    return f"{name} {numbers}"
