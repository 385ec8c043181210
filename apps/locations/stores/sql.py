"""A table of a SQL database as a store; it is made when it is not there. One row a part, a value in one transaction.

Columns: name, part, content (text where it is readable). Large values are cut, see parts.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT

from apps.locations.errors import Refused
from apps.locations.said import said as _
from apps.locations.sql import engine_of, foreign_errors
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import in_parts

NAMES_A_PAGE = 1_000
NAMES_A_DELETE = 500


class SqlStore:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self.is_text = is_text
        content = (
            Text().with_variant(LONGTEXT(), "mysql", "mariadb")
            if is_text
            else (LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"))
        )
        self.table = Table(
            target,
            MetaData(),
            Column("name", String(200), primary_key=True),
            Column("part", Integer, primary_key=True, autoincrement=False),
            Column("content", content, nullable=False),
        )
        self.engine = engine_of(config)
        self._is_there = False

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        self._make_table()
        with foreign_errors(), self.engine.begin() as connection:
            connection.execute(delete(self.table).where(self.table.c.name == name))
            for number, part in enumerate(in_parts(chunks, is_text=self.is_text)):
                connection.execute(insert(self.table).values(name=name, part=number, content=self._out(part)))

    def get(self, name: str) -> Iterator[bytes]:
        number = 0
        while True:
            wanted = select(self.table.c.content).where(self.table.c.name == name, self.table.c.part == number)
            with foreign_errors(), self.engine.connect() as connection:
                row = connection.execute(wanted).first() if self._has_table(connection) else None
            if row is None:
                break
            yield row[0].encode() if self.is_text else bytes(row[0])
            number += 1
        if number == 0:
            raise Missing(_("A row is not in the table."))

    def delete(self, names: Sequence[str]) -> None:
        for first in range(0, len(names), NAMES_A_DELETE):
            some = list(names[first : first + NAMES_A_DELETE])
            with foreign_errors(), self.engine.begin() as connection:
                if self._has_table(connection):
                    connection.execute(delete(self.table).where(self.table.c.name.in_(some)))

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        name = self.table.c.name
        last = after
        while True:
            wanted = select(name, func.count()).where(name > last, name.startswith(prefix, autoescape=True))
            with foreign_errors(), self.engine.connect() as connection:
                if not self._has_table(connection):
                    return
                page = connection.execute(wanted.group_by(name).order_by(name).limit(NAMES_A_PAGE)).all()
            for found, _parts in page:
                yield Found(found)
            if len(page) < NAMES_A_PAGE:
                return
            last = page[-1][0]

    def _make_table(self) -> None:
        if self._is_there:
            return
        with foreign_errors(), self.engine.begin() as connection:
            self.table.metadata.create_all(connection, checkfirst=True)
            there = {column["name"] for column in inspect(connection).get_columns(self.table.name)}
        if there != set(self.table.c.keys()):
            raise Refused(_("A table of this name is there and is not one of ours. Choose another name."))
        self._is_there = True

    def _has_table(self, connection: Connection) -> bool:
        if not self._is_there:
            self._is_there = inspect(connection).has_table(self.table.name)
        return self._is_there

    def _out(self, part: bytes) -> str | bytes:
        return part.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}") if self.is_text else part
