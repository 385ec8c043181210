"""Real SQL databases with a small shop in each, for the contract tests: filled and looked at past the connector."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import text

from apps.locations import sql
from apps.locations.connectors.sql.connector import SqlConnector
from tests.contracts.kinds import Kind
from tests.services import MariaDB, Postgres

BLOB = {"postgresql": "bytea", "mysql": "longblob", "sqlite": "blob"}
SHOP = """
    CREATE TABLE customers (id integer PRIMARY KEY, email varchar(100) UNIQUE, name varchar(100), deleted_at varchar(20));
    CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL, what varchar(200),
        FOREIGN KEY (customer_id) REFERENCES customers (id));
    CREATE TABLE order_lines (order_id integer NOT NULL, line integer NOT NULL, text varchar(200),
        PRIMARY KEY (order_id, line), FOREIGN KEY (order_id) REFERENCES orders (id));
    CREATE TABLE notes (id varchar(40) PRIMARY KEY, user_id integer, body {text}, photo {blob});
    CREATE INDEX notes_user ON notes (user_id);
"""
SHOP_RULES: list[dict[str, Any]] = [
    {"table": "customers", "columns": ["email"], "kind": "email"},
    {"table": "order_lines", "columns": ["order_id"], "parent": "orders"},
    {"table": "orders", "columns": ["customer_id"], "parent": "customers"},
    {"table": "notes", "columns": ["user_id"], "kind": "user_id"},
]


class SqlPlace:
    """A database of its own on a running server, or a file."""

    def __init__(self, config: dict[str, Any], *, only_notes: bool = False) -> None:
        rules = [rule for rule in SHOP_RULES if rule["table"] == "notes" or not only_notes]
        self.tables = [str(rule["table"]) for rule in rules]
        self.config = config | {"tables": [_line(rule) for rule in rules], "horizon_days": 30}
        self.dialect = str(config["dialect"])
        texts = "longtext" if self.dialect == "mysql" else "text"
        shop = SHOP.format(blob=BLOB[self.dialect], text=texts)
        self.run(*filter(str.strip, (shop[shop.index("CREATE TABLE notes") :] if only_notes else shop).split(";")))

    @property
    def connector(self) -> Any:
        return SqlConnector(self.config)

    def with_rules(self, *rules: dict[str, Any]) -> Any:
        return SqlConnector(self.config | {"tables": [_line(rule) for rule in rules]})

    def run(self, *statements: str, **values: Any) -> list[Any]:
        """Carry out statements as the operator would; return the rows of the last."""
        with sql.engine_of(self.config).begin() as connection:
            done = [connection.execute(text(statement), values) for statement in statements]
            return [tuple(row) for row in done[-1]] if done[-1].returns_rows else []

    def insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        columns = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        with sql.engine_of(self.config).begin() as connection:
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"), list(rows))

    def everything(self) -> dict[str, str]:
        """Every row that is there, with a digest."""
        seen = {}
        for table in self.tables:
            for row in self.run(f"SELECT * FROM {table}"):
                digest = hashlib.sha256(repr([bytes(v) if isinstance(v, memoryview) else v for v in row]).encode())
                seen[f"{table}/{row[0]}/{row[1]}"] = digest.hexdigest()
        return seen

    def fill(self, number: int = 3) -> None:
        """Give Ada and Ben as many orders and notes each; their rows lie between each other's."""
        self.insert(
            "customers",
            [
                {"id": 1, "email": "ada@example.org", "name": "Ada", "deleted_at": None},
                {"id": 2, "email": "ben@example.org", "name": "Ben", "deleted_at": None},
                {"id": 3, "email": "ADA@example.org", "name": "somebody else", "deleted_at": "2026-01-01"},
            ] if self.dialect != "mysql" else [
                {"id": 1, "email": "ada@example.org", "name": "Ada", "deleted_at": None},
                {"id": 2, "email": "ben@example.org", "name": "Ben", "deleted_at": None},
            ],
        )  # fmt: skip
        every = range(2 * number)
        self.insert("orders", [{"id": n, "customer_id": 1 + n % 2, "what": f"thing {n}"} for n in every])
        self.insert("order_lines", [{"order_id": n, "line": line, "text": "日记"} for n in every for line in (1, 2)])
        self.insert(
            "notes",
            [{"id": f"n'{n}", "user_id": (4, 42)[n % 2], "body": f"=note\n{n} 🦉", "photo": bytes([n % 256, 255])}
             for n in every],
        )  # fmt: skip


def _line(rule: dict[str, Any]) -> dict[str, Any]:
    usual = {"kind": "", "parent": "", "ignore_case": False, "action": "delete", "values": {}, "why": "", "mark": ""}
    return usual | rule


def sql_place(kind: str, server: Any, folder: Path, **more: Any) -> SqlPlace:
    name = f"shop{uuid.uuid4().hex[:10]}"
    if kind == "sqlite":
        path = folder / f"{name}.sqlite3"
        path.touch()
        return SqlPlace({"dialect": "sqlite", "database": str(path)}, **more)
    config = {"dialect": kind, "host": "127.0.0.1", "port": server.port, "database": name, "tls": "off"}
    if isinstance(server, Postgres):
        server.create(name)
        return SqlPlace(config | {"user": "postgres"}, **more)
    assert isinstance(server, MariaDB)
    server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return SqlPlace(config | {"user": "root"}, **more)


class Sql(Kind):
    """Notes of people, found by user_id."""

    transport = (
        "sqlalchemy.engine.default.DefaultDialect.connect",
        "sqlalchemy.engine.default.DefaultDialect.do_execute",
        "sqlalchemy.engine.default.DefaultDialect.do_commit",
    )
    batches = ("apps.locations.connectors.sql.erasing.BATCH",)

    def __init__(self, place: SqlPlace) -> None:
        self.place = place
        self.connector = place.connector

    def put(self, user_id: str, name: str, data: bytes) -> None:
        values = {"id": f"{user_id}/{name}", "user_id": int(user_id), "body": data.decode()}
        self.place.run(
            "DELETE FROM notes WHERE id = :id",
            "INSERT INTO notes (id, user_id, body) VALUES (:id, :user_id, :body)", **values,
        )  # fmt: skip

    def put_many(self, user_id: str, count: int) -> None:
        rows = [{"id": f"{user_id}/{n:06}", "user_id": int(user_id), "body": f"item {n:06}"} for n in range(count)]
        self.place.insert("notes", rows)

    def everything(self) -> dict[str, str]:
        return self.place.everything()

    def of(self, user_id: str) -> dict[str, str]:
        return {name: digest for name, digest in self.everything().items() if name.startswith(f"notes/{user_id}/")}

    def again(self) -> SqlConnector:
        return SqlConnector(self.place.config)

    def lost(self) -> Exception:
        if self.place.dialect == "postgresql":
            return psycopg.OperationalError("server closed the connection unexpectedly")
        if self.place.dialect == "mysql":
            return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = 10
        return error

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        self.place.run(
            "CREATE TABLE holds (note varchar(40), FOREIGN KEY (note) REFERENCES notes (id))",
            "INSERT INTO holds VALUES (:id)", id=f"{user_id}/{name}",
        )  # fmt: skip
        yield
        self.place.run("DROP TABLE holds")

    def with_wrong_credentials(self) -> SqlConnector:
        if self.place.dialect == "sqlite":
            pytest.skip("a file has no credentials")
        if self.place.dialect == "postgresql":
            return SqlConnector(self.place.config | {"user": "nobody_here"})
        return SqlConnector(self.place.config | {"password": "wrong"})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> SqlConnector:
        if self.place.dialect == "sqlite":
            pytest.skip("there is no server")
        monkeypatch.setattr("apps.locations.sql.CONNECT_SECONDS", 2)  # libpq takes no less
        monkeypatch.setattr("apps.locations.sql.ANSWER_SECONDS", 1)
        host, port = address.split(":")
        return SqlConnector(self.place.config | {"host": host, "port": int(port)})


def _sql(kind: str, server: str = "") -> Any:
    return lambda request: Sql(
        sql_place(
            kind,
            request.getfixturevalue(server) if server else None,
            request.getfixturevalue("tmp_path"),
            only_notes=True,
        )
    )


SQL_KINDS = {
    "sqlite": _sql("sqlite"),
    "postgresql": _sql("postgresql", "postgres"),
    "mariadb": _sql("mysql", "mariadb"),
}
SQL_NEEDING_SERVICES = {"postgresql", "mariadb"}
