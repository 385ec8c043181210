"""Correcting a person's rows, and marking them so that others leave them alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Boolean, Connection, and_, update

from apps.locations import sql
from apps.locations.connectors.sql.erasing import fixed
from apps.locations.connectors.sql.matching import rows_of
from apps.locations.connectors.sql.rules import TableRule
from apps.locations.connectors.sql.schema import Schema
from apps.locations.contract import Change, Identity
from apps.locations.errors import Refused
from apps.locations.said import said as _


def rectify(connection: Connection, schema: Schema, who: Identity, changes: Sequence[Change]) -> int:
    """Write each change into every table that has the column; `field` may name the table: customers.name.

    All of them in one transaction; a column that no table has is refused before anything is written.
    """
    places = [(change, _tables_with(schema, change.field)) for change in changes]
    changed = 0
    with sql.transaction(connection):
        for change, rules in places:
            column = change.field.rpartition(".")[2]
            for rule in rules:
                target = schema.table(rule.name).c[column]
                unlike = target.is_distinct_from(fixed(change.value))
                before = [] if change.before is None else [target == fixed(change.before)]
                where = and_(rows_of(schema, rule.name, who), unlike, *before)
                statement = update(schema.table(rule.name)).where(where).values({column: fixed(change.value)})
                changed += int(connection.execute(statement).rowcount)
    return changed


def _tables_with(schema: Schema, field: str) -> list[TableRule]:
    table, _dot, column = field.rpartition(".")
    rules = [rule for rule in schema.rules.values() if table in {"", rule.name} and column in schema.table(rule.name).c]
    if not rules:
        raise Refused(_("No table of this place has that column. A person has to look."))
    return rules


def restrict(connection: Connection, schema: Schema, who: Identity, *, on: bool) -> int:
    """Set or clear the marks that the rules name; refused where they name none."""
    marked = [rule for rule in schema.rules.values() if rule.mark]
    if not marked:
        raise Refused(_("No table of this place has a column that marks a restriction. A person has to look."))
    changed = 0
    with sql.transaction(connection):
        for rule in marked:
            table = schema.table(rule.name)
            mark = table.c[rule.mark]
            value = on if isinstance(mark.type, Boolean) else int(on)
            where = and_(rows_of(schema, rule.name, who), mark.is_distinct_from(value))
            changed += int(connection.execute(update(table).where(where).values({rule.mark: value})).rowcount)
    return changed
