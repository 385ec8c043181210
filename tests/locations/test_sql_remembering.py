"""What is remembered of a database between two steps: its tables until they change, and nothing of a person."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from apps.locations import sql
from apps.locations.connectors.sql.connector import SqlConnector
from apps.locations.contract import Identity, Scope
from tests.services import Postgres

ADA, BEN = "ada@example.org", "ben@example.org"
PASSWORD = "a password that nobody keeps"
RULES = [{"table": "notes", "columns": ["email"], "kind": "email"}]


def who(email: str) -> Identity:
    return Identity(uuid.uuid4(), None, None, (("email", email),))


def change(config: dict[str, Any], *statements: str) -> None:
    with sql.foreign_errors(), sql.engine_of(config).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def config(request: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    config: dict[str, Any] = {"dialect": request.param, "tables": RULES, "password": PASSWORD}
    if request.param == "sqlite":
        (tmp_path / "shop.sqlite3").touch()
        config |= {"database": str(tmp_path / "shop.sqlite3")}
    else:
        server: Postgres = request.getfixturevalue("postgres")
        config |= {"host": "127.0.0.1", "port": server.port, "database": "postgres", "user": "postgres", "tls": "off"}
    change(
        config,
        "DROP TABLE IF EXISTS notes",
        "CREATE TABLE notes (id integer PRIMARY KEY, email varchar(80))",
        f"INSERT INTO notes VALUES (1, '{ADA}'), (2, '{BEN}'), (-3, '{ADA}')",
    )
    yield config
    change(config, "DROP TABLE notes")


def found(config: dict[str, Any], email: str) -> list[tuple[str, str]]:
    items = SqlConnector(config).find(who(email), Scope())
    return sorted((item.name, item.shown) for item in items)


def test_each_person_is_found_by_the_same_remembered_statement(config: dict[str, Any]) -> None:
    assert found(config, ADA) == [("notes/-3", "notes/…"), ("notes/1", "notes/1")]
    assert found(config, BEN) == [("notes/2", "notes/2")]
    assert found(config, "eve@example.org") == []


def test_a_table_that_changed_is_read_anew(config: dict[str, Any]) -> None:
    def lines() -> bytes:
        entries = SqlConnector(config).export(who(BEN), Scope(), "")
        return b"".join(chunk for entry in entries for chunk in entry.chunks)

    assert b"colour" not in lines()
    change(config, "ALTER TABLE notes ADD COLUMN colour varchar(10) DEFAULT 'blue'")
    assert b'"colour":"blue"' in lines()


def test_a_table_that_lost_the_column_of_the_identity_is_refused(config: dict[str, Any]) -> None:
    assert found(config, BEN)
    change(config, "ALTER TABLE notes RENAME COLUMN email TO address")
    with pytest.raises(sql.Refused, match="no column"):
        found(config, BEN)


def test_neither_values_of_a_person_nor_the_password_are_remembered(config: dict[str, Any]) -> None:
    found(config, ADA)
    with sql.connected(config) as connection:
        known = sql.known_of(connection)
        kept = list(known.statements.values())
    assert kept
    assert PASSWORD not in known.engine.url.render_as_string(hide_password=False)
    parameters = [parameter for statement in kept for parameter in statement.binds.values()]
    assert ADA not in [parameter.value for parameter in parameters]
    asked_for = [parameter.callable for parameter in parameters if parameter.callable]
    assert asked_for
    for value in asked_for:
        with pytest.raises(IndexError):  # it went with the connection that asked
            value()
