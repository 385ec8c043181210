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

from apps.locations.said import said as _

MACHINE = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys")
FOR_PLACES = "places"  # the one folder of DATA_DIR in which nothing of Habeas is


def refusal(path: str) -> str:
    """Say why no place may be there; "" if one may. Symbolic links count as what they mean."""
    asked = _real(path)
    roots = [_real(root) for root in settings.LOCATION_ROOTS]
    named = [root for root in roots if asked == root or root in asked.parents]
    if _is_own(asked) or any(_touch(asked, shut) for shut in _machine(named)):
        return _("Habeas or the machine keeps its own files there: write another path.")
    if named:
        return ""
    if not roots:
        return _("No folder of this machine is open to places. Whoever runs it names some in LOCATION_ROOTS.")
    folders = {"folders": ", ".join(str(root) for root in roots)}
    return _("Places may only lie below %(folders)s (LOCATION_ROOTS): write a path there.") % folders


def _machine(named: list[Path]) -> list[Path]:
    """Return the machine's folders, without those in which the operator has opened one, as /run/media for a disk."""
    folders = [_real(folder) for folder in MACHINE]
    return [folder for folder in folders if not any(folder in root.parents for root in named)]


def _is_own(asked: Path) -> bool:
    is_for_places = _real(settings.DATA_DIR / FOR_PLACES) in [asked, *asked.parents]
    around = [] if is_for_places else [_real(folder) for folder in (settings.BASE_DIR, settings.DATA_DIR)]
    return any(_touch(asked, own) for own in [*around, *_own()])


def _touch(asked: Path, own: Path) -> bool:
    """Say whether a path is that one, lies below it, or has it below it."""
    return asked == own or own in asked.parents or asked in own.parents


def _own() -> Iterator[Path]:
    folders = [settings.MASTER_KEY_DIR, settings.TILES_DIR, settings.STATIC_ROOT]
    folders += [one["NAME"] for one in settings.DATABASES.values() if one["ENGINE"].endswith("sqlite3")]
    folders += [
        one["OPTIONS"]["location"] for one in settings.STORAGES.values() if "location" in one.get("OPTIONS", {})
    ]
    yield from (_real(str(folder)) for folder in folders)


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(str(path)))
