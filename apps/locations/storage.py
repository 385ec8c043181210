"""What the packages that store objects of our own share: a storage's errors as those of a place, and deleting for good.

Any django-storages back end. An object that is missing stays FileNotFoundError: what that means, the caller knows.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage

from apps.locations.errors import StorageFull, Unavailable
from apps.locations.said import said as _

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_CODES = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"}
# Errors of the SDKs behind django-storages, looked up among what is loaded: only the one in use is.
_PROVIDER_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "boto3.exceptions": ("Boto3Error",),
    "google.api_core.exceptions": ("GoogleAPIError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "azure.core.exceptions": ("AzureError",),
    "paramiko.ssh_exception": ("SSHException",),
    "ftplib": ("Error",),
    "dropbox.exceptions": ("DropboxException",),
    "libcloud.common.types": ("LibcloudError",),
}


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what the storage throws into StorageFull or Unavailable."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(_("there is no room left in the storage")) from error
        raise Unavailable(_("the storage does not answer")) from error
    except provider_errors() as error:
        if _code(error) in _FULL_CODES:
            raise StorageFull(_("there is no room left in the storage")) from error
        raise Unavailable(_("the storage does not answer")) from error


def delete_s3_versions(prefix: str) -> bool:
    """Delete every version below a prefix in an S3 bucket; False if the storage is none. Raises Unavailable if some stay.

    S3 answers 200 and names in it the keys that it did not delete (DeleteObjects, `Errors`).
    """
    versions = s3_versions(prefix)
    if versions is None:
        return False
    with storage_errors():
        answers = versions.delete()
    if any(answer.get("Errors") for answer in answers):
        raise Unavailable(_("the storage did not delete some objects"))
    return True


def s3_versions(prefix: str) -> Any:
    """Return the collection of all versions below a prefix in an S3 bucket; None if the storage is none."""
    versions = getattr(getattr(default_storage, "bucket", None), "object_versions", None)
    folder = getattr(default_storage, "location", "")
    return None if versions is None else versions.filter(Prefix=f"{folder}/{prefix}".lstrip("/"))


def flush_to_disk(name: str) -> None:
    """Make sure that a file on our own disk survives a power cut: its row will say that it is there."""
    path = _path_on_disk(name)
    if path is not None:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def remove_empty_folder(name: str) -> None:
    """Remove a folder of our own disk once nothing is in it; other storages have no folders."""
    path = _path_on_disk(name)
    with storage_errors():
        if path is not None and path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _path_on_disk(name: str) -> Path | None:
    try:
        return Path(default_storage.path(name))
    except NotImplementedError:
        return None


def provider_errors() -> tuple[type[Exception], ...]:
    modules = ((sys.modules.get(module), names) for module, names in _PROVIDER_ERRORS.items())
    return tuple(getattr(module, name) for module, names in modules if module is not None for name in names)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
