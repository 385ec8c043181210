"""Whether a SQLite file may be opened as a place: below LOCATION_ROOTS, under one name, with no journal that leads elsewhere.

Who can write into its folder is the owner of some other application, and could otherwise have SQLite do what only our
workers may: open a database of Habeas by a link, or delete any file by a journal. A journal ends with the name of the
"super-journal" of a transaction over several databases, and whoever opens the database and finds that this one is over
deletes that file (SQLite, "Atomic Commit", 5.6). So it must have a name that SQLite gives to nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from apps.locations import own_ground
from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _

MAGIC = bytes.fromhex("d9d505f920a163d7")
TRAILER = 16  # length of the name, its sum, MAGIC
LONGEST_NAME = 4096
SUPER_JOURNAL = re.compile(rb"-mj[0-9A-F]{6}9[0-9A-F]{2}\0*\Z")


def check(path: str) -> None:
    """Raise Refused or Unavailable unless it may be opened. A file that is not there is refused: SQLite would make one."""
    if not Path(path).is_absolute():
        raise Refused(_("The path of the SQLite file is not absolute."))
    if refusal := own_ground.refusal(path):
        raise Refused(refusal)
    if not Path(path).is_file():
        raise Unavailable(_("The file is not there; is the disk mounted?"))
    _check_beside(path)


def check_opened(connection: Any) -> None:
    """Ask SQLite what it has opened, before it reads there: a link may have been put in its place since `check`."""
    path = next(str(file) for _number, name, file in connection.execute("PRAGMA database_list") if name == "main")
    if refusal := own_ground.refusal(path):
        raise Refused(refusal)
    _check_beside(path)


def _check_beside(path: str) -> None:
    try:
        names = Path(path).stat().st_nlink
        named = _super_journal(f"{path}-journal")
    except OSError:
        raise Unavailable(_("The file cannot be read or written just now.")) from None
    if names > 1:
        raise Refused(_("The file has another name elsewhere (hard link): give it one name."))
    if named and not SUPER_JOURNAL.search(named):
        raise Refused(
            _("A journal beside the file would have another file deleted: whoever runs its application looks.")
        )


def _super_journal(path: str) -> bytes:
    """Return what the end of a journal names; empty without one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < TRAILER:
            return b""
        trailer = os.pread(file.fileno(), TRAILER, size - TRAILER)
        length = int.from_bytes(trailer[:4], "big")
        if not trailer.endswith(MAGIC) or not 0 < length <= min(size - TRAILER, LONGEST_NAME):
            return b""
        return os.pread(file.fileno(), length, size - TRAILER - length)
