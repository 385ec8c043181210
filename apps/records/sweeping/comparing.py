"""The comparison itself, in batches: objects against rows, rows against objects, then what lies beside them.

Names that were seen go into a nameless temporary file as 16-byte hashes, so that a storage may list in any order and
memory stays the same however much it holds.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.archives import services as archives
from apps.archives.models import Archive
from apps.locations.errors import LocationError
from apps.locations.storage import remove_empty_folder
from apps.records.sweeping import listing
from apps.records.sweeping.listing import Stored, Upload

T = TypeVar("T")
BATCH = 500
SETTLED_AFTER = timedelta(hours=24)  # longer than any upload, lease or transaction lasts
ORPHAN, MISSING, UNFINISHED, TEMPORARY, EXPIRED, UNKNOWN = KINDS = (
    "orphan",  # an object of ours that no row names
    "missing",  # a row says that an object is there, and it is not
    "unfinished",  # what an upload that never ended has left
    "temporary",  # files of this machine that a killed process has left
    "expired",  # archives whose time is over
    "unknown",  # what cannot be attributed to anything of ours
)
_NAME = re.compile(r"([a-z]+)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9a-f]{32}")


@dataclass(frozen=True)
class Finding:
    """Something that does not agree. `name` is opaque, but that of an unknown one may be anything."""

    kind: str
    name: str
    size: int = 0
    is_removed: bool = False


class Comparison:
    """`remove`: delete what is found. `unknown`: also what cannot be attributed; without it that is only counted."""

    def __init__(self, *, remove: bool = False, unknown: bool = False) -> None:
        self.remove, self.unknown = remove, unknown
        self.before = timezone.now() - SETTLED_AFTER
        self.objects = self.rows = 0
        self._seen = sqlite3.connect("")  # a temporary file without a name
        self._seen.execute("CREATE TABLE seen (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def findings(self) -> Iterator[Finding]:
        """Yield what does not agree, and remove it if that was asked for; raises LocationError."""
        try:
            yield from self._of_objects()
            yield from self._of_rows()
            yield from self._of_uploads()
            yield from self._of_this_machine()
            yield from self._of_archives()
        finally:
            self._seen.close()

    def _of_objects(self) -> Iterator[Finding]:
        for batch in batches(listing.stored_objects(), BATCH):
            self.objects += len(batch)
            self._note([one.name for one in batch if one.is_current])
            rows = _rows_named([one.name for one in batch])
            for one in batch:
                kind = self._kind_of(one, rows.get(one.name))
                if kind:
                    yield self._found(kind, one)

    def _kind_of(self, one: Stored, row: tuple[bool, datetime] | None) -> str:
        """Judge an object; what is younger than a day is still on its way."""
        if owner_of(one.name) is None:
            return UNKNOWN if listing.modified_at(one) < self.before else ""
        if row is None:
            return ORPHAN if listing.modified_at(one) < self.before else ""
        is_stored, created_at = row
        return UNFINISHED if not is_stored and created_at < self.before else ""

    def _found(self, kind: str, one: Stored) -> Finding:
        is_removed = False
        if self.remove and (kind != UNKNOWN or self.unknown) and self._is_still_so(kind, one):
            is_removed = _try_delete(one)
        return Finding(kind, one.name, one.size or 0, is_removed)

    def _is_still_so(self, kind: str, one: Stored) -> bool:
        """Ask the rows once more, just before something goes for ever."""
        return self._kind_of(one, _rows_named([one.name]).get(one.name)) == kind

    def _of_rows(self) -> Iterator[Finding]:
        for label, there in _owners().values():
            found = _manager(label).filter(**there, created_at__lt=self.before).order_by("pk")
            last = None
            while page := list((found.filter(pk__gt=last) if last else found).values_list("pk", "object_name")[:BATCH]):
                last = page[-1][0]
                self.rows += len(page)
                for pk, name in page:
                    if not self._was_seen(name) and not listing.is_there(name) and found.filter(pk=pk).exists():
                        yield Finding(MISSING, name)

    def _of_uploads(self) -> Iterator[Finding]:
        for upload in listing.unfinished_uploads():
            kind = self._kind_of_upload(upload)
            if not kind:
                continue
            may = self.remove and (kind != UNKNOWN or (self.unknown and upload.begun is not None))
            yield Finding(kind, upload.name, is_removed=may and _try_abort(upload))

    def _kind_of_upload(self, upload: Upload) -> str:
        """Judge an unfinished upload by its age, or where nobody tells it by its row: one of ours is there before it.

        A stranger's of no known age may be on its way, and stays; Azure drops such blocks a week after the last of them.
        """
        owner = owner_of(upload.name)
        if upload.begun is not None:
            return "" if upload.begun >= self.before else UNFINISHED if owner else UNKNOWN
        if owner is None:
            return UNKNOWN
        row = _rows_named([upload.name]).get(upload.name)
        return UNFINISHED if row is None or row[1] < self.before else ""

    def _of_this_machine(self) -> Iterator[Finding]:
        for path in _temporary_files():
            try:
                info = path.lstat()
            except FileNotFoundError:
                continue
            if datetime.fromtimestamp(info.st_mtime, UTC) < self.before:
                yield Finding(TEMPORARY, path.name, info.st_size, self.remove and _remove_path(path))

    def _of_archives(self) -> Iterator[Finding]:
        due = Q(state=Archive.State.READY, expires_at__lt=timezone.now())
        ended = Q(state__in=[Archive.State.EXPIRED, Archive.State.DISCARDED], key_id__isnull=False)
        late = list(Archive.objects.filter(due | ended).values_list("pk", "size"))
        if late and self.remove:
            archives.expire_due()
        left = set(Archive.objects.filter(due | ended).values_list("pk", flat=True))
        for pk, size in late:
            yield Finding(EXPIRED, str(pk), size or 0, pk not in left)

    def _note(self, names: list[str]) -> None:
        self._seen.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(_digest(name),) for name in names])

    def _was_seen(self, name: str) -> bool:
        return bool(self._seen.execute("SELECT 1 FROM seen WHERE name = ?", (_digest(name),)).fetchone())


def owner_of(name: str) -> str | None:
    """Return the folder of ours that a name belongs to, or None if no part of the site gives such names."""
    match = _NAME.fullmatch(name)
    return match[1] if match and match[1] in _owners() else None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _rows_named(names: list[str]) -> dict[str, tuple[bool, datetime]]:
    """Return, for each name that a row has, whether the row says that it is stored, and since when the row is there."""
    by_owner: dict[str, list[str]] = {}
    for name in names:
        if owner := owner_of(name):
            by_owner.setdefault(owner, []).append(name)
    found: dict[str, tuple[bool, datetime]] = {}
    for owner, theirs in by_owner.items():
        label, _there = _owners()[owner]
        rows = _manager(label).filter(object_name__in=theirs).values_list("object_name", "stored", "created_at")
        found |= {name: (stored, created_at) for name, stored, created_at in rows}
    return found


def _owners() -> Any:
    return settings.OBJECT_OWNERS


def _manager(label: str) -> Any:
    return apps.get_model(label)._default_manager


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _try_delete(one: Stored) -> bool:
    try:
        gone = listing.delete_exactly(one)
        if gone and "/" in one.name:
            remove_empty_folder(one.name.rpartition("/")[0])
    except LocationError:
        return False
    return gone


def _try_abort(upload: Upload) -> bool:
    try:
        return listing.abort_upload(upload)
    except LocationError:
        return False


def _temporary_files() -> Iterator[Path]:
    """Yield what a killed process leaves: half-written tiles, and uploads where a file must have a name (uploads.py)."""
    yield from (Path(settings.TILES_DIR) / ".tmp").glob("*")
    for folder in Path(tempfile.gettempdir()).glob("habeas-*"):
        if (folder / "import").is_file() and not folder.is_symlink():
            yield folder


def _remove_path(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return not path.exists()
