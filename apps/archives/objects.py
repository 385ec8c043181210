"""Objects in storage: sealed bytes under random names, and the storage's errors turned into those of a place.

Any django-storages back end. A name is archives/<owner>/<random>, the owner being the person's id (or the request's):
so the second look after an erasure can ask the storage itself what is left.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.utils import timezone

from apps.archives.errors import DamagedArchive
from apps.locations.errors import LocationError, StorageFull, Unavailable

ROOT = "archives"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_CODES = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"}
# Errors of the SDKs behind django-storages. They are looked up among what is loaded: only the one in use is.
_PROVIDER_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "boto3.exceptions": ("Boto3Error",),
    "google.api_core.exceptions": ("GoogleAPIError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "azure.core.exceptions": ("AzureError",),
}


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
        with _translated():
            stored = default_storage.save(name, File(content))
            _flush_to_disk(name)
    except LocationError:
        try_delete(name)
        raise
    if stored != name:  # the name was taken: it is random, so somebody else writes here
        try_delete(stored)
        raise Unavailable("the storage did not keep the name of an object")


def open_object(name: str) -> IO[Any]:
    """Open an object for reading; raises DamagedArchive when it is missing."""
    try:
        with _translated():
            return default_storage.open(name, "rb")
    except FileNotFoundError:
        raise DamagedArchive("a segment is missing in storage") from None


def read(file: IO[Any], offset: int, length: int) -> bytes:
    """Return a part of an object, less only at its end."""
    try:
        with _translated():
            file.seek(offset)
            return bytes(file.read(length))
    except FileNotFoundError:
        raise DamagedArchive("a segment is missing in storage") from None


def delete(name: str) -> None:
    """Delete an object, in an S3 bucket every version of it; one that is not there is fine."""
    with _translated():
        versions = getattr(getattr(default_storage, "bucket", None), "object_versions", None)
        if versions is None:
            default_storage.delete(name)
        else:
            folder = getattr(default_storage, "location", "")
            versions.filter(Prefix=f"{folder}/{name}".lstrip("/")).delete()


def check() -> None:
    """Ask the storage whether it answers; raises Unavailable."""
    with _translated():
        default_storage.exists(f"{ROOT}/check")


def names_of(owner: uuid.UUID) -> list[str]:
    """Return the names of all objects of an owner that the storage holds, known to us or not."""
    folder = folder_of(owner)
    try:
        with _translated():
            _folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{name.rpartition('/')[2]}" for name in files if name]  # Azure gives whole paths


def owners() -> set[uuid.UUID]:
    """Return the owners of whom the storage holds objects."""
    try:
        with _translated():
            folders, _files = default_storage.listdir(ROOT)
    except FileNotFoundError:
        return set()
    names = [folder.rstrip("/").rpartition("/")[2] for folder in folders]
    return {uuid.UUID(name) for name in names if _UUID.fullmatch(name)}


def modified(name: str) -> datetime:
    """Return when an object was stored; one that is gone meanwhile counts as new."""
    try:
        with _translated():
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


def remove_empty_folder(owner: uuid.UUID) -> None:
    """Remove the folder of an owner on a disk once nothing is in it; other storages have no folders."""
    path = _path_on_disk(folder_of(owner))
    if path is not None and path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def _path_on_disk(name: str) -> Path | None:
    try:
        return Path(default_storage.path(name))
    except NotImplementedError:
        return None


def _flush_to_disk(name: str) -> None:
    """Make sure that a file on our own disk survives a power cut: its row will say that it is there."""
    path = _path_on_disk(name)
    if path is not None:
        with path.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("there is no room left in the storage") from error
        raise Unavailable("the storage does not answer") from error
    except _provider_errors() as error:
        if _code(error) in _FULL_CODES:
            raise StorageFull("there is no room left in the storage") from error
        raise Unavailable("the storage does not answer") from error


def _provider_errors() -> tuple[type[Exception], ...]:
    modules = ((sys.modules.get(module), names) for module, names in _PROVIDER_ERRORS.items())
    return tuple(getattr(module, name) for module, names in modules if module is not None for name in names)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
