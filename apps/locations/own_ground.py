"""Where on this machine a place may be: below the folders that its operator names, and nowhere in what is Habeas's own.

Places are set up in the staff site, by people who need not have an account on the machine. Through a folder or a SQLite
file they could otherwise read whatever the workers can, or have a request erase it. LOCATION_ROOTS is the list of what
they may name; within it the folders of Habeas itself, with master keys, signing keys and both databases, stay shut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

MACHINE = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")
FOR_PLACES = "places"  # the one folder of DATA_DIR in which nothing of Habeas is


def refusal(path: str) -> str:
    """Say why no place may be there; "" if one may. Symbolic links count as what they mean."""
    asked = _real(path)
    if _is_own(asked):
        return _("Habeas or the machine keeps its own files there: write another path.")
    roots = [_real(root) for root in settings.LOCATION_ROOTS]
    if any(asked == root or root in asked.parents for root in roots):
        return ""
    if not roots:
        return _("No folder of this machine is open to places. Whoever runs it names some in LOCATION_ROOTS.")
    named = ", ".join(str(root) for root in roots)
    return _("Places may only lie below %(folders)s (LOCATION_ROOTS): write a path there.") % {"folders": named}


def _is_own(asked: Path) -> bool:
    """Say whether a path is one of ours, lies below one, or has one below it."""
    is_for_places = _real(settings.DATA_DIR / FOR_PLACES) in [asked, *asked.parents]
    around = [_real(folder) for folder in (settings.BASE_DIR, settings.DATA_DIR)]
    if not is_for_places and any(asked == own or own in asked.parents or asked in own.parents for own in around):
        return True
    return any(asked == own or own in asked.parents or asked in own.parents for own in _own())


def _own() -> Iterator[Path]:
    folders = [settings.MASTER_KEY_DIR, settings.TILES_DIR, settings.STATIC_ROOT]
    folders += [one["NAME"] for one in settings.DATABASES.values() if one["ENGINE"].endswith("sqlite3")]
    folders += [
        one["OPTIONS"]["location"] for one in settings.STORAGES.values() if "location" in one.get("OPTIONS", {})
    ]
    yield from (_real(str(folder)) for folder in [*folders, *MACHINE])


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(str(path)))
