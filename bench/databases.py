"""Finding, reading and erasing 10,000 rows or documents, against a loop by hand with the driver.

python -m bench.databases [ROWS]        (SQLite in a file; PostgreSQL and MariaDB where they are installed; MongoDB is
                                        in bench.outside, since only a stand-in of it is here)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from tests.services import postgres_programs, running_mariadb, running_postgres

COLUMNS = "id, user_id, name, body, price, at"
TABLE = """CREATE TABLE notes (id integer PRIMARY KEY, user_id integer, name varchar(100), body text, price numeric(9,2),
    at varchar(30))"""
RULES = [{"table": "notes", "columns": ["user_id"], "kind": "user_id"}]
BATCH = 1000
AIM = 1.5


class Hand:
    """What somebody writes who has one table and a driver: pages by key, one DELETE a batch."""

    def __init__(self, connection: Any, mark: str) -> None:
        self.connection, self.mark = connection, mark

    def fill(self, rows: int) -> None:
        cursor = self.connection.cursor()
        values = ", ".join([self.mark] * 6)
        data = [(n, 4 + n % 2, f"note {n}", "words " * 40, n / 100, "2026-01-01T00:00:00") for n in range(2 * rows)]
        cursor.execute("DELETE FROM notes")
        cursor.executemany(f"INSERT INTO notes ({COLUMNS}) VALUES ({values})", data)
        self.connection.commit()

    def pages(self, columns: str) -> Iterator[list[Any]]:
        last, cursor = -1, self.connection.cursor()
        while True:
            cursor.execute(
                f"SELECT {columns} FROM notes WHERE user_id = {self.mark} AND id > {self.mark} ORDER BY id LIMIT {BATCH}", (4, last)
            )  # fmt: skip
            rows = cursor.fetchall()
            if not rows:
                return
            yield rows
            last = rows[-1][0]

    def find(self) -> int:
        return sum(len(rows) for rows in self.pages("id"))

    def read(self) -> int:
        names = COLUMNS.split(", ")
        return sum(
            len(json.dumps(dict(zip(names, row, strict=True)), default=str)) > 0
            for rows in self.pages(COLUMNS)
            for row in rows
        )

    def erase(self) -> int:
        erased = 0
        for rows in self.pages("id"):
            cursor = self.connection.cursor()
            cursor.execute(
                f"DELETE FROM notes WHERE id IN ({', '.join([self.mark] * len(rows))})", [row[0] for row in rows]
            )
            self.connection.commit()
            erased += cursor.rowcount
        return erased


def timed(act: Callable[[], int]) -> tuple[float, int]:
    began = time.perf_counter()
    return (lambda done: (time.perf_counter() - began, done))(act())


def measure(name: str, hand: Hand, config: dict[str, Any], rows: int) -> bool:
    from apps.locations.connectors.sql.connector import SqlConnector
    from apps.locations.contract import Identity, Scope

    who, scope = Identity(uuid.uuid4(), None, None, (("user_id", "4"),)), Scope()
    connector = SqlConnector(config | {"tables": RULES})
    ours: dict[str, Callable[[], int]] = {
        "find": lambda: sum(1 for _item in connector.find(who, scope)),
        "read": lambda: sum(entry.count for entry in connector.export(who, scope, "") if b"".join(entry.chunks)),
        "erase": lambda: sum(batch.erased for batch in connector.erase(who, scope, "")),
    }
    good = True
    for what, act in ours.items():
        tries = []
        for _number in range(3):
            hand.fill(rows)
            by_hand, held = timed(getattr(hand, what))
            hand.fill(rows)
            taken, done = timed(act)
            assert held == done == rows, (what, held, done)
            tries.append((taken / by_hand, taken, by_hand))
        ratio, taken, by_hand = sorted(tries)[1]
        good = good and ratio <= AIM
        print(f"  {name:<12}{what:<7}{taken * 1000:>8.0f} ms{by_hand * 1000:>10.0f} ms by hand{ratio:>8.2f} ×")
    peaks = []
    for size in (rows, 4 * rows):
        hand.fill(size)
        tracemalloc.start()
        ours["read"]()
        ours["erase"]()
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    print(f"  {name:<12}memory {peaks[0]:.1f} MiB for {rows:,} rows, {peaks[1]:.1f} MiB for {4 * rows:,}")
    return good


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")  # places of this machine lie where it lets them
    django.setup()
    print(f"Places: {rows:,} rows, the median of 3 tries, aim ≤ {AIM} ×")
    good = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "bench.sqlite3"
        file = sqlite3.connect(path)
        for statement in (TABLE, "CREATE INDEX notes_user ON notes (user_id)"):
            file.execute(statement)
        good.append(measure("SQLite", Hand(file, "?"), {"dialect": "sqlite", "database": str(path)}, rows))
        if postgres_programs() is not None:
            server = stack.enter_context(running_postgres())
            connection = psycopg.connect(server.url("postgres"))
            good.append(measure_server("PostgreSQL", connection, "postgresql", server.port, "postgres", rows))
        if shutil.which("mariadb-install-db"):
            maria = stack.enter_context(running_mariadb())
            maria.run("CREATE DATABASE bench")
            by_hand = pymysql.connect(host="127.0.0.1", port=maria.port, user="root", database="bench")
            good.append(measure_server("MariaDB", by_hand, "mysql", maria.port, "bench", rows))
    sys.exit(0 if all(good) else 1)


def measure_server(name: str, connection: Any, dialect: str, port: int, database: str, rows: int) -> bool:
    cursor = connection.cursor()
    cursor.execute(TABLE)
    cursor.execute("CREATE INDEX notes_user ON notes (user_id)")
    connection.commit()
    user = "postgres" if dialect == "postgresql" else "root"
    config = {"dialect": dialect, "host": "127.0.0.1", "port": port, "database": database, "user": user, "tls": "off"}
    return measure(name, Hand(connection, "%s"), config, rows)


if __name__ == "__main__":
    main()
