"""Find, read and erase the rows or documents of one person in each kind of database, against a loop by hand with the driver.

python -m bench.databases [ROWS] [KIND …]     (SQLite in a file, PostgreSQL, MariaDB; of MongoDB only a stand-in is here)

As many rows of somebody else lie between those of the person. Every loop pages by key as the connector does, names each
row, writes JSON lines, and erases a batch of 1,000 in a transaction of its own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bench.acts import SIZE, USER, Kind, leave_out, main

COLUMNS = "id, user_id, name, body, price, at"
TABLE = """CREATE TABLE notes (id integer PRIMARY KEY, user_id integer, name varchar(100), body text, price numeric(9,2),
    at varchar(30))"""
RULES = [{"table": "notes", "columns": ["user_id"], "kind": "user_id"}]
CONNECTOR = "apps.locations.connectors.sql.connector.SqlConnector"
FOUND, READ, ERASED = 15_000, 1000, 1000  # rows at once, as the connector
MINE, OTHERS = int(USER), int(USER) + 1


class SqlByHand:
    """A driver's connection and a page after the other by primary key; the rows of a page go with one DELETE, and a commit."""

    mark = "%s"

    def __init__(self, config: dict[str, Any]) -> None:
        self.connection = self.connect(config)

    def connect(self, config: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _pages(self, columns: str, size: int) -> Iterator[list[Any]]:
        last, cursor = -1, self.connection.cursor()
        query = f"SELECT {columns} FROM notes WHERE user_id = {self.mark} AND id > {self.mark} ORDER BY id LIMIT {size}"
        while True:
            cursor.execute(query, (MINE, last))
            rows = cursor.fetchall()
            if rows:
                yield rows
            if len(rows) < size:
                return
            last = rows[-1][0]

    def find(self) -> int:
        with closing(self.connection):
            return sum(
                1 for _one in ((f"notes/{row[0]}", "notes") for rows in self._pages("id", FOUND) for row in rows)
            )

    def read(self) -> int:
        names, count = COLUMNS.split(", "), 0
        with closing(self.connection):
            for rows in self._pages(COLUMNS, READ):
                lines = [json.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows]
                count += len(lines) if "\n".join(lines).encode() else 0
        return count

    def erase(self) -> int:
        erased = 0
        with closing(self.connection):
            for rows in self._pages("id", ERASED):
                marks, cursor = ", ".join([self.mark] * len(rows)), self.connection.cursor()
                cursor.execute(f"DELETE FROM notes WHERE id IN ({marks})", [row[0] for row in rows])
                self.connection.commit()
                erased += cursor.rowcount
        return erased


class SqliteByHand(SqlByHand):
    """The same; what is deleted is overwritten, as the connector promises."""

    mark = "?"

    def connect(self, config: dict[str, Any]) -> Any:
        connection = sqlite3.connect(config["database"])
        connection.execute("PRAGMA secure_delete = ON")
        return connection


class PostgresqlByHand(SqlByHand):
    __doc__ = SqlByHand.__doc__

    def connect(self, config: dict[str, Any]) -> Any:
        import psycopg

        where = {"host": config["host"], "port": config["port"], "dbname": config["database"], "user": config["user"]}
        return psycopg.connect(**where, sslmode="disable")  # as the connector here


class MariadbByHand(SqlByHand):
    __doc__ = SqlByHand.__doc__

    def connect(self, config: dict[str, Any]) -> Any:
        import pymysql

        return pymysql.connect(
            host=config["host"],
            port=config["port"],
            database=config["database"],
            user=config["user"],
            ssl_disabled=True,  # as the connector here
        )


def filler(connection: Any, mark: str, empty: str, analyse: str) -> Callable[[int], None]:
    """Make the table, and return what fills it: every second row is somebody else's."""
    cursor = connection.cursor()
    for statement in (TABLE, "CREATE INDEX notes_user ON notes (user_id)"):
        cursor.execute(statement)
    connection.commit()

    def fill(rows: int) -> None:
        marks = ", ".join([mark] * 6)
        row = ("words " * (SIZE // 6), 1.5, "2026-01-01T00:00:00")
        data = [(n, (MINE, OTHERS)[n % 2], f"note {n}", *row) for n in range(2 * rows)]
        cursor.execute(empty)
        cursor.executemany(f"INSERT INTO notes ({COLUMNS}) VALUES ({marks})", data)
        cursor.execute(analyse)
        connection.commit()

    return fill


def sqlite(stack: ExitStack) -> Kind:
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bench.sqlite3"
    connection = stack.enter_context(closing(sqlite3.connect(path)))
    config = {"dialect": "sqlite", "database": str(path), "tables": RULES}
    return Kind(
        "SQLite", CONNECTOR, SqliteByHand, config, filler(connection, "?", "DELETE FROM notes", "ANALYZE"), tries=9
    )


def postgresql(stack: ExitStack) -> Kind | None:
    import psycopg

    from tests.services import postgres_programs, running_postgres

    if postgres_programs() is None:
        leave_out("PostgreSQL")
        return None
    server = stack.enter_context(running_postgres())
    connection = stack.enter_context(closing(psycopg.connect(server.url("postgres"))))
    config = _server("postgresql", server.port, "postgres", "postgres")
    fill = filler(connection, "%s", "TRUNCATE notes", "ANALYZE notes")
    return Kind("PostgreSQL", CONNECTOR, PostgresqlByHand, config, fill)


def mariadb(stack: ExitStack) -> Kind | None:
    import pymysql

    from tests.services import running_mariadb

    if shutil.which("mariadb-install-db") is None:
        leave_out("MariaDB")
        return None
    server = stack.enter_context(running_mariadb())
    server.run("CREATE DATABASE bench")
    connection = stack.enter_context(
        closing(pymysql.connect(host="127.0.0.1", port=server.port, user="root", database="bench"))
    )
    config = _server("mysql", server.port, "bench", "root")
    fill = filler(connection, "%s", "TRUNCATE TABLE notes", "ANALYZE TABLE notes")
    return Kind("MariaDB", CONNECTOR, MariadbByHand, config, fill)


def _server(dialect: str, port: int, database: str, user: str) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": port, "database": database, "user": user}
    return {"dialect": dialect, "tls": "off", "tables": RULES} | where


class MongoByHand:
    """pymongo: the ids; the documents in the order of their ids, as extended JSON; 1,000 ids and one delete_many each."""

    def __init__(self, config: dict[str, Any]) -> None:
        from pymongo import MongoClient

        user, password = config["user"], config["password"]
        self.client: Any = MongoClient(config["hosts"], username=user, password=password, directConnection=True)
        self.notes = self.client[config["database"]]["notes"]

    def find(self) -> int:
        with self.client:
            return sum(1 for one in self.notes.find({"user_id": MINE}, {"_id": 1}) if f"notes/{one['_id']}")

    def read(self) -> int:
        from bson import json_util

        with self.client:
            found = self.notes.find({"user_id": MINE}).sort("_id")
            return sum(1 for one in found if json_util.dumps(one).encode())

    def erase(self) -> int:
        erased = 0
        with self.client:
            while ids := [one["_id"] for one in self.notes.find({"user_id": MINE}, {"_id": 1}).limit(ERASED)]:
                erased += self.notes.delete_many({"_id": {"$in": ids}}).deleted_count
        return erased


def mongodb(stack: ExitStack) -> Kind:
    from tests.mongodb import MongoDB, Running

    data = MongoDB(user="habeas", password="bench")
    server = stack.enter_context(Running(data))
    stored = data.collection("shop", "notes")

    def fill(count: int) -> None:
        data.seen.clear()
        stored[:] = [{"_id": f"{n:06}", "user_id": (MINE, OTHERS)[n % 2], "text": "x" * SIZE} for n in range(2 * count)]

    config = {
        "hosts": server.address, "database": "shop", "user": data.user, "password": data.password, "tls": "off",
        "collections": [{"collection": "notes", "field": "user_id", "kind": "user_id"}],
    }  # fmt: skip
    connector = "apps.locations.connectors.mongodb.connector.MongoConnector"
    return Kind("MongoDB stand-in", connector, MongoByHand, config, fill)


if __name__ == "__main__":
    main(str(__doc__), {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb, "mongodb": mongodb})
