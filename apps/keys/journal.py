"""Taking old bytes out of SQLite's write-ahead log.

`secure_delete` overwrites what is deleted in the database file, but earlier versions of the pages stay in the -wal file
until it is truncated (sqlite.org/wal.html; sqlite.org/pragma.html#pragma_wal_checkpoint).
"""

from __future__ import annotations

import time

from django.db import connections

from apps.keys.errors import JournalNotTruncated

PATIENCE_SECONDS = 15.0  # a reader that holds an old snapshot longer than this is not part of a normal request
PAUSE_SECONDS = 0.05


def truncate_journal(alias: str, *, patience: float = PATIENCE_SECONDS) -> None:
    """Empty the journal of a database; call it outside transactions. Other databases than SQLite have none of this kind.

    Retried until SQLite answers that nobody was in the way; raises JournalNotTruncated if that takes too long.
    """
    connection = connections[alias]
    if connection.vendor != "sqlite":
        return
    deadline = time.monotonic() + patience
    while not _truncate_once(alias):
        if time.monotonic() >= deadline:
            raise JournalNotTruncated(f"the journal of database {alias!r} is held by a reader: repeat")
        time.sleep(PAUSE_SECONDS)


def _truncate_once(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        busy, _pages, _moved = cursor.fetchone()
    return bool(busy == 0)
