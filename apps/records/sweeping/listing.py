"""What lies in the storage, whatever its back end: every object once, in no promised order, a page in memory at a time.

A bucket or container is listed with its old versions, so that an object that was deleted and can still be read is seen;
what soft delete still has cannot be deleted, and counts for the horizon (own_storage.py). A folder of this machine is walked without following symbolic links: nothing beyond them is ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.utils import timezone

from apps.locations import own_storage
from apps.locations.errors import Unavailable
from apps.locations.storage import storage_errors
from apps.locations.stores.azure import AzureStore

Page = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """An object as the storage lists it. `is_current`: reading it by its name gives it; else only old versions are left."""

    name: str
    size: int | None = None
    modified: datetime | None = None  # None: the storage is asked when it matters
    is_current: bool = True


@dataclass(frozen=True)
class Upload:
    """An upload in parts that was begun and neither finished nor called off. `begun` None: Azure does not tell."""

    name: str
    id: str
    begun: datetime | None


def stored_objects() -> Iterator[Stored]:
    """Yield everything below the storage's root; raises Unavailable."""
    folder = _folder_on_disk()
    if folder is not None:
        yield from _on_disk(folder, "")
    elif _bucket() is not None:
        yield from _versions()
    elif (kept := own_storage.store()) is not None:
        yield from (Stored(one.name, one.size, one.modified, one.is_current) for one in kept.find() if one.modified)
    else:
        yield from _by_storage("")


def unfinished_uploads() -> Iterator[Upload]:
    """Yield the unfinished multipart uploads of an S3 bucket, and the blocks in an Azure container that nobody committed.

    Other storages have none that can be seen: Google tells nobody of resumable uploads, and ends them after a week.
    """
    if _bucket() is None:
        if isinstance(kept := own_storage.store(), AzureStore):
            yield from (Upload(one.name, "", None) for one in kept.find() if not one.modified)
        return
    for page in _pages("list_multipart_uploads"):
        for found in page.get("Uploads", []):
            yield Upload(_name_of(found["Key"]), found["UploadId"], found["Initiated"])


def abort_upload(upload: Upload) -> bool:
    if (kept := own_storage.store()) is not None:
        kept.delete([upload.name])
        return True
    with storage_errors():
        _client().abort_multipart_upload(Bucket=_bucket().name, Key=_key_of(upload.name), UploadId=upload.id)
    return True


def modified_at(stored: Stored) -> datetime:
    """Return when an object was stored; one that is gone meanwhile counts as new."""
    if stored.modified is not None:
        return stored.modified
    try:
        with storage_errors():
            return default_storage.get_modified_time(stored.name)
    except FileNotFoundError:
        return timezone.now()


def is_there(name: str) -> bool:
    with storage_errors():
        return bool(default_storage.exists(name))


def delete_exactly(stored: Stored) -> bool:
    """Delete one object, every version of it and no longer name; say whether it is gone. Raises Unavailable."""
    folder = _folder_on_disk()
    if folder is not None:
        with storage_errors():
            (folder / stored.name).unlink(missing_ok=True)
        return not os.path.lexists(folder / stored.name)
    if _bucket() is not None:
        return _delete_versions(stored.name)
    if (kept := own_storage.store()) is not None:
        kept.delete([stored.name])
        return not is_there(stored.name)
    with storage_errors():
        default_storage.delete(stored.name)
    return not is_there(stored.name)


def _folder_on_disk() -> Path | None:
    try:
        return Path(default_storage.path(""))
    except NotImplementedError:
        return None


def _on_disk(root: Path, below: str) -> Iterator[Stored]:
    try:
        with storage_errors():
            entries = os.scandir(root / below)
    except FileNotFoundError:  # no storage yet, or a folder that went away meanwhile
        return
    with entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _on_disk(root, name)
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Stored(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _by_storage(folder: str) -> Iterator[Stored]:
    try:
        with storage_errors():
            folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        if name:
            yield Stored(_below(folder, name))
    for name in folders:
        if name.strip("/"):
            yield from _by_storage(_below(folder, name))


def _below(folder: str, name: str) -> str:
    last = name.rstrip("/").rpartition("/")[2]  # Azure gives whole paths
    return f"{folder}/{last}" if folder else last


# Below: S3.


def _bucket() -> Any:
    bucket = getattr(default_storage, "bucket", None)
    return bucket if hasattr(bucket, "object_versions") else None


def _client() -> Any:
    return _bucket().meta.client


def _location() -> str:
    location = str(getattr(default_storage, "location", "")).strip("/")
    return f"{location}/" if location else ""


def _key_of(name: str) -> str:
    return _location() + name


def _name_of(key: str) -> str:
    return key.removeprefix(_location())


def _pages(call: str, prefix: str | None = None) -> Iterator[Page]:
    with storage_errors():
        paginator = _client().get_paginator(call)
        pages = iter(paginator.paginate(Bucket=_bucket().name, Prefix=_location() if prefix is None else prefix))
    while True:
        with storage_errors():
            page = next(pages, None)
        if page is None:
            return
        yield page


def _versions() -> Iterator[Stored]:
    """Yield each key once: its newest date, the size of all its versions, and whether the newest is no delete marker."""
    last = ""
    for page in _pages("list_object_versions"):
        found: dict[str, list[Page]] = {}
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            found.setdefault(version["Key"], []).append(version)
        for key, versions in found.items():
            if key == last:  # the rest of a key that the page before began with
                continue
            yield Stored(
                _name_of(key),
                sum(version.get("Size", 0) for version in versions),
                max(version["LastModified"] for version in versions),
                any(version.get("IsLatest") and "Size" in version for version in versions),
            )
        last = max(found, default=last)


def _delete_versions(name: str) -> bool:
    key, versions = _key_of(name), []
    for page in _pages("list_object_versions", prefix=key):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            if version["Key"] == key:
                versions.append({"Key": key, "VersionId": version["VersionId"]})
    for first in range(0, len(versions), 1_000):
        with storage_errors():
            answer = _client().delete_objects(
                Bucket=_bucket().name, Delete={"Objects": versions[first : first + 1_000], "Quiet": True}
            )
        if answer.get("Errors"):
            raise Unavailable("the storage did not delete some objects")
    return not is_there(name)
