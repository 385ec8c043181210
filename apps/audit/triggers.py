"""Triggers that refuse UPDATE, DELETE and TRUNCATE on the log's tables, on SQLite and PostgreSQL (DESIGN §3).

They stop accidents. What stops an administrator is that checkpoints lie where the operator cannot rewrite them.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

# Table: what makes a row's place taken. SQLite's INSERT OR REPLACE deletes without firing a DELETE trigger, so a taken
# place is refused before the insert; PostgreSQL's ON CONFLICT fires the UPDATE trigger.
PLACES = {
    "audit_entry": ['"id" = NEW."id"'],
    "audit_leaf": ['"index" = NEW."index"', '"entry_id" = NEW."entry_id"'],
    "audit_tile": ['"id" = NEW."id"', '"level" = NEW."level" AND "index" = NEW."index"'],
    "audit_checkpoint": ['"size" = NEW."size"'],
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers in place; a repeat changes nothing."""
    _run(connection, _sqlite_install() if connection.vendor == "sqlite" else _postgresql_install())


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away: for a migration back, and for tests that empty their tables."""
    _run(connection, _sqlite_remove() if connection.vendor == "sqlite" else _postgresql_remove())


def _run(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _sqlite_remove() -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {table}_no_{act}" for table in PLACES for act in ("update", "delete", "replace")]


def _sqlite_install() -> list[str]:
    statements = _sqlite_remove()
    for table, taken in PLACES.items():
        refusal = f"SELECT RAISE(ABORT, '{table} is append-only');"
        statements += [
            f"CREATE TRIGGER {table}_no_{act} BEFORE {act} ON {table} BEGIN {refusal} END"
            for act in ("update", "delete")
        ]
        anywhere = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {place})" for place in taken)  # noqa: S608 our own names
        statements.append(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {anywhere} BEGIN {refusal} END"
        )
    return statements


def _postgresql_remove() -> list[str]:
    drops = [
        f"DROP TRIGGER IF EXISTS {table}_no_{act} ON {table}" for table in PLACES for act in ("change", "truncate")
    ]
    return [*drops, "DROP FUNCTION IF EXISTS audit_refuse()"]


def _postgresql_install() -> list[str]:
    statements = _postgresql_remove()
    statements.append(
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in PLACES:
        run = "EXECUTE FUNCTION audit_refuse()"
        statements.append(f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {run}")
        statements.append(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {run}")
    return statements
