"""Objects in storage: sealed bytes under random names.

A name is archives/<owner>/<random>, the owner being the person's id (or the request's):
so the second look after an erasure can ask the storage itself what is left.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from io import BytesIO
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.utils import timezone

from apps.archives.errors import DamagedArchive
from apps.locations.errors import LocationError, Unavailable
from apps.locations.own_storage import delete_versions, listed_names, names_below
from apps.locations.storage import flush_to_disk, storage_errors

ROOT = "archives"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_name(owner: uuid.UUID) -> str:
    return f"{folder_of(owner)}/{uuid.uuid4().hex}"


def folder_of(owner: uuid.UUID) -> str:
    return f"{ROOT}/{owner}"


def put(name: str, chunks: Iterable[bytes]) -> None:
    """Store an object whole, or raise StorageFull or Unavailable and leave nothing of it, as far as storage obeys."""
    content = BytesIO()
    for chunk in chunks:
        content.write(chunk)
    try:
        with storage_errors():
            stored = default_storage.save(name, File(content))
            flush_to_disk(stored)
    except FileNotFoundError:  # an empty folder was removed just when this object was to be put there
        raise Unavailable("the storage did not keep an object") from None
    except LocationError:
        try_delete(name)
        raise
    if stored != name:  # the name was taken: it is random, so somebody else writes here
        try_delete(stored)
        raise Unavailable("the storage did not keep the name of an object")


def open_object(name: str) -> IO[Any]:
    """Open an object for reading; raises DamagedArchive when it is missing."""
    try:
        with storage_errors():
            return default_storage.open(name, "rb")
    except FileNotFoundError:
        raise DamagedArchive("a segment is missing in storage") from None


def read(file: IO[Any], offset: int, length: int) -> bytes:
    """Return a part of an object, less only at its end."""
    try:
        with storage_errors():
            file.seek(offset)
            return bytes(file.read(length))
    except FileNotFoundError:
        raise DamagedArchive("a segment is missing in storage") from None


def delete(name: str) -> None:
    """Delete an object, in a bucket or container every version of it; one that is not there is fine."""
    with storage_errors():
        if not delete_versions(name):
            default_storage.delete(name)


def check() -> None:
    """Ask the storage whether it answers; raises Unavailable."""
    with storage_errors():
        default_storage.exists(f"{ROOT}/check")


def names_of(owner: uuid.UUID) -> list[str]:
    """Return the names of all objects of an owner that the storage shows, known to us or not."""
    return listed_names(folder_of(owner))


def names_left(owner: uuid.UUID) -> list[str]:
    """Return the same, with those of which only an older version is left."""
    return names_below(folder_of(owner))


def owners() -> set[uuid.UUID]:
    """Return the owners of whom the storage holds objects."""
    try:
        with storage_errors():
            folders, _files = default_storage.listdir(ROOT)
    except FileNotFoundError:
        return set()
    names = [folder.rstrip("/").rpartition("/")[2] for folder in folders]
    return {uuid.UUID(name) for name in names if _UUID.fullmatch(name)}


def modified(name: str) -> datetime:
    """Return when an object was stored; one that is gone meanwhile counts as new."""
    try:
        with storage_errors():
            return default_storage.get_modified_time(name)
    except FileNotFoundError:
        return timezone.now()


def try_delete(name: str) -> bool:
    """Delete an object if the storage lets us; its row stays otherwise, and the sweep comes back to it."""
    try:
        delete(name)
    except LocationError:
        return False
    return True
