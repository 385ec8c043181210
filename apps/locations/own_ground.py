"""Where on this machine a place may be: below the folders that its operator names, and nowhere in what is Habeas's own.

Places are set up in the staff site, by people who need not have an account on the machine. Through a folder or a SQLite
file they could otherwise read whatever the workers can, or have a request erase it. LOCATION_ROOTS is the list of what
they may name; within it the folders of Habeas itself, with master keys, signing keys and both databases, stay shut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings

from apps.locations.said import said as _

MACHINE = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")
FOR_PLACES = "places"  # the one folder of DATA_DIR in which nothing of Habeas is


def refusal(path: str) -> str:
    """Say why no place may be there; "" if one may. Symbolic links count as what they mean."""
    asked = os.path.realpath(path)
    roots = [_real(root) for root in settings.LOCATION_ROOTS]
    named = [root for root in roots if _lies_in(asked, root)]
    if _is_own(asked) or any(_touch(asked, shut) for shut in _machine(named)):
        return _("Habeas or the machine keeps its own files there: write another path.")
    if named:
        return ""
    if not roots:
        return _("No folder of this machine is open to places. Whoever runs it names some in LOCATION_ROOTS.")
    folders = {"folders": ", ".join(roots)}
    return _("Places may only lie below %(folders)s (LOCATION_ROOTS): write a path there.") % folders


def _machine(named: list[str]) -> list[str]:
    """Return the machine's folders, without those in which the operator has opened one, as /run/media for a disk."""
    return [
        folder
        for folder in _folders_of_the_machine()
        if not any(root != folder and _lies_in(root, folder) for root in named)
    ]


@cache
def _folders_of_the_machine() -> list[str]:
    return [_real(folder) for folder in MACHINE]


def _is_own(asked: str) -> bool:
    is_for_places = _lies_in(asked, _real(settings.DATA_DIR / FOR_PLACES))
    around = [] if is_for_places else [_real(folder) for folder in (settings.BASE_DIR, settings.DATA_DIR)]
    return any(_touch(asked, own) for own in [*around, *_own()])


def _touch(asked: str, own: str) -> bool:
    """Say whether a path is that one, lies below it, or has it below it."""
    return _lies_in(asked, own) or _lies_in(own, asked)


def _lies_in(path: str, folder: str) -> bool:
    """Say whether a path is that folder or lies below it; compared as text, since each place that is opened asks often."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _own() -> Iterator[str]:
    folders = [settings.MASTER_KEY_DIR, settings.TILES_DIR, settings.STATIC_ROOT]
    folders += [one["NAME"] for one in settings.DATABASES.values() if one["ENGINE"].endswith("sqlite3")]
    folders += [
        one["OPTIONS"]["location"] for one in settings.STORAGES.values() if "location" in one.get("OPTIONS", {})
    ]
    yield from (_real(folder) for folder in folders)


def _real(path: str | Path) -> str:
    return os.path.realpath(str(path))
