"""The hot rows: messages, written and deleted past the ORM's objects, signals and cascades (DESIGN §9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from apps.records.models import Conversation, Message

# A transaction holds SQLite's only write lock: ≤ 1,000 rows, or about 10 ms. PostgreSQL pays for each commit with a flush.
ROWS_PER_TRANSACTION = 1_000
ROWS_PER_TRANSACTION_POSTGRESQL = 5_000

Row = tuple[UUID, int, int | None, bool, bytes]  # conversation, position, parent, is it a message, sealed

_TABLE = Message._meta.db_table
_COLUMNS = "conversation_id, position, parent, is_message, sealed"
_INSERT = f"INSERT INTO {_TABLE} ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s)"  # noqa: S608
_UPDATE = f"UPDATE {_TABLE} SET parent = %s, is_message = %s, sealed = %s WHERE conversation_id = %s AND position = %s"  # noqa: S608
_COPY = f"COPY {_TABLE} ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"


def rows_per_transaction() -> int:
    return ROWS_PER_TRANSACTION_POSTGRESQL if connection.vendor == "postgresql" else ROWS_PER_TRANSACTION


def insert_messages(rows: Sequence[Row]) -> None:
    """Insert rows in the caller's transaction: COPY on PostgreSQL, one prepared statement elsewhere."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(_COPY) as copy:
                copy.set_types(["uuid", "int4", "int4", "bool", "bytea"])
                for row in rows:
                    copy.write_row(row)
        else:
            known: dict[UUID, Any] = {one: _in_database(one) for one in {row[0] for row in rows}}
            cursor.executemany(_INSERT, [(known[row[0]], *row[1:]) for row in rows])


def replace_messages(rows: Sequence[Row]) -> None:
    """Write new bytes over rows that are there, in the caller's transaction."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(_UPDATE, [(*row[2:], _in_database(row[0]), row[1]) for row in rows])


def fetch_nodes(ids: Sequence[UUID]) -> Iterator[tuple[UUID, int, int | None, bool, bytes]]:
    """Yield the rows of some conversations, past Django's converters: a UUID made for each row costs as much as opening it."""
    if not ids:
        return
    known = {_in_database(one): one for one in ids}
    marks = ", ".join(["%s"] * len(known))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM {_TABLE} WHERE conversation_id IN ({marks})", list(known))  # noqa: S608
        for one, position, parent, is_message, sealed in cursor.fetchall():
            yield known[one], position, parent, bool(is_message), sealed


def delete_conversations(sizes: Iterable[tuple[UUID, int]]) -> Iterator[tuple[int, int]]:
    """Delete conversations, given as (id, number of nodes), and their messages; yield (conversations, messages).

    One DELETE a table and transaction; a long conversation goes in runs of positions. Attachments and holds must be gone
    before: they refer to the conversation. Nothing is opened or read.
    """
    limit = rows_per_transaction()
    batch: list[UUID] = []
    rows = 0
    for conversation_id, size in sizes:
        if size > limit:
            _delete_runs(conversation_id, size, limit)
            yield 0, 0  # a sign of life; its messages are counted with its own row
        batch.append(conversation_id)
        rows += 0 if size > limit else size
        if rows >= limit or len(batch) >= limit // 4:
            yield _delete_batch(batch)
            batch, rows = [], 0
    if batch:
        yield _delete_batch(batch)


def _delete_runs(conversation_id: UUID, size: int, limit: int) -> None:
    for stop in range(limit, size + limit, limit):
        _raw_delete(Message.objects.filter(conversation_id=conversation_id, position__lt=stop))


def _delete_batch(ids: list[UUID]) -> tuple[int, int]:
    with transaction.atomic():
        theirs = Conversation.objects.filter(pk__in=ids)
        counted = theirs.aggregate(total=Sum("message_count"))  # as pages count: not every node is a message
        _raw_delete(Message.objects.filter(conversation_id__in=ids))
        conversations = _raw_delete(theirs)
    return conversations, counted["total"] or 0


def _raw_delete(queryset: Any) -> int:
    deleted: int = queryset._raw_delete(queryset.db)
    return deleted


def _in_database(value: UUID) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex
