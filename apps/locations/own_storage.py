"""The storage of our own objects (STORAGE_URL) where it is a bucket of Google's or a container of Azure's.

It is then the same store as a place outside, through the client that django-storages has open: what it keeps beside the
objects that it shows (generations, versions, snapshots, blocks that nobody committed) is found and deleted alike.
"""

from __future__ import annotations

from typing import Any

from django.core.files.storage import default_storage

from apps.locations.connectors.azure import AzureConnector
from apps.locations.connectors.gcs import GcsConnector
from apps.locations.contract import Health
from apps.locations.said import said as _
from apps.locations.storage import delete_s3_versions, s3_versions, storage_errors
from apps.locations.stores.azure import AzureStore
from apps.locations.stores.gcs import GcsStore

GOOGLE = ("storages.backends.gcloud", "GoogleCloudStorage")
AZURE = ("storages.backends.azure_storage", "AzureStorage")
LONGEST_SOFT_DELETE = {GOOGLE: 90, AZURE: 365}  # days that can be set (each provider's "Soft delete")


def store() -> GcsStore | AzureStore | None:
    """Return the store behind our storage; None for a folder, S3 and the rest. Raises Unavailable."""
    connector = _connector()
    folder = str(getattr(default_storage, "location", "") or "")
    if isinstance(connector, GcsConnector):
        return GcsStore({}, folder, connector=connector)
    return AzureStore({}, folder, connector=connector) if connector else None


def delete_versions(prefix: str) -> bool:
    """Delete whatever begins so with every version, generation and snapshot; False if the storage knows no such thing.

    Raises Unavailable or Refused if some stay, Blocked if a hold or a policy keeps them.
    """
    kept = store()
    if kept is None:
        return delete_s3_versions(prefix)
    kept.delete_below(prefix)
    return True


def names_below(folder: str) -> list[str]:
    """Return the names of all objects in a folder, known to us or not, also where only an older version is left."""
    prefix = f"{folder}/"
    if (kept := store()) is not None:
        return [found.name for found in kept.find(prefix)]
    versions = s3_versions(prefix)
    if versions is None:
        return listed_names(folder)
    with storage_errors():
        return sorted({prefix + version.object_key.rpartition("/")[2] for version in versions})


def listed_names(folder: str) -> list[str]:
    """Return the names that the storage shows in a folder, known to us or not; a folder that is not there has none."""
    try:
        with storage_errors():
            _folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{name.rpartition('/')[2]}" for name in files if name]  # Azure gives whole paths


def health(message: str) -> Health:
    """Answer for a place of our own whose objects lie there: with how long the bucket itself keeps what was deleted.

    Raises LocationError when it does not answer.
    """
    connector = _connector()
    if connector is None:
        return Health(True, message)
    there = connector.check()
    if there.horizon_days is not None:
        return Health(True, message, there.horizon_days, problems=there.problems, facts=there.facts)
    days = LONGEST_SOFT_DELETE[GOOGLE if isinstance(connector, GcsConnector) else AZURE]
    unread = _("How long the storage keeps deleted objects cannot be read: the longest, %(days)d days, is counted.")
    return Health(True, message, days, problems=(*there.problems, unread % {"days": days}), facts=there.facts)


def _connector() -> GcsConnector | AzureConnector | None:
    storage: Any = default_storage
    with storage_errors():
        if _is_of(GOOGLE):
            return GcsConnector.through(storage.client, storage.bucket_name)
        if _is_of(AZURE):
            return AzureConnector.through(storage.service_client, storage.azure_container)
    return None


def _is_of(backend: tuple[str, str]) -> bool:
    """Say whether our storage is of this back end, by its name: only the one in use has its provider's library."""
    return any((kind.__module__, kind.__qualname__) == backend for kind in default_storage.__class__.__mro__)
