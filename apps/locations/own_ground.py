"""What no place may be: the folders of Habeas itself, and those in which a machine keeps its own secrets.

Places are set up in the staff site, by people who need not have an account on the machine. Through a folder or a SQLite
file of ours they could read master keys, signing keys and both databases, or have a request erase them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

MACHINE = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")
REFUSAL = "Habeas or the machine keeps its own files there: write another path."


def is_own(path: str) -> bool:
    """Say whether a path is one of those, lies below one, or has one below it; symbolic links count as what they mean."""
    asked = Path(os.path.realpath(path))
    return any(asked == own or own in asked.parents or asked in own.parents for own in _own())


def _own() -> Iterator[Path]:
    folders = [settings.BASE_DIR, settings.DATA_DIR, settings.MASTER_KEY_DIR, settings.TILES_DIR, settings.STATIC_ROOT]
    folders += [one["NAME"] for one in settings.DATABASES.values() if one["ENGINE"].endswith("sqlite3")]
    folders += [
        one["OPTIONS"]["location"] for one in settings.STORAGES.values() if "location" in one.get("OPTIONS", {})
    ]
    yield from (Path(os.path.realpath(str(folder))) for folder in [*folders, *MACHINE])
