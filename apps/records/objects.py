"""Sealed objects in storage: attachments and uploads. Nothing lies there in the clear.

Every object is written down before it is uploaded, so that a crash leaves no unknown one (DESIGN §4). A name is
<folder>/<person's id>/<random>: so the second look after an erasure can ask the storage itself what is left.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, cast
from uuid import UUID, uuid4

from django.core.files.storage import default_storage

from apps.keys.selectors import check_live
from apps.locations.errors import LocationError, Unavailable
from apps.locations.own_storage import delete_versions, names_below
from apps.locations.storage import flush_to_disk, remove_empty_folder, storage_errors
from apps.locations.stores.parts import Reader
from apps.sealing.streams import seal_stream, unseal_stream

ATTACHMENTS = "attachments"
IMPORTS = "imports"
KEY_REREAD_SECONDS = 30.0  # a stream breaks off at a tombstone within 60 s (DESIGN §2)
READ_SIZE = 256 * 1024


class MissingObject(Unavailable):
    """An object that is written down is not in storage."""


def new_name(folder: str, subject_id: UUID) -> str:
    return f"{folder}/{subject_id}/{uuid4().hex}"


def upload(name: str, chunks: Iterable[bytes], *, key_id: UUID, key: bytes, context: bytes) -> None:
    """Seal a stream into storage under a name that is written down; raises StorageFull, Unavailable, KeyDestroyed."""
    sealed = seal_stream(key, watched(chunks, key_id), context=context)
    try:
        with _errors():
            kept = default_storage.save(name, cast(IO[bytes], _Stream(sealed)))
            flush_to_disk(kept)
    except LocationError:
        try_delete(name)
        raise
    if kept != name:
        try_delete(kept)
        raise Unavailable("the storage did not keep the name of an object")


def download(name: str, *, key_id: UUID, key: bytes, context: bytes) -> Iterator[bytes]:
    """Yield the plain bytes of an object; breaks off with KeyDestroyed when the key is destroyed meanwhile."""
    with _errors(), default_storage.open(name, "rb") as file:
        yield from unseal_stream(key, watched(_pieces(file), key_id), context=context)


def delete(name: str) -> None:
    """Delete an object, in a bucket or container every version of it; one that is not there is no error."""
    with _errors():
        if not delete_versions(name):
            default_storage.delete(name)


def delete_all(folder: str, subject_id: UUID) -> None:
    """Delete every object of a person in a folder, known to us or not."""
    if delete_versions(f"{folder}/{subject_id}/"):
        return
    for name in names_of(folder, subject_id):
        delete(name)
    remove_empty_folder(f"{folder}/{subject_id}")


def try_delete(name: str) -> bool:
    """Delete an object if the storage lets us; its row stays otherwise, and the sweep comes back to it."""
    try:
        delete(name)
    except LocationError:
        return False
    return True


def names_of(folder: str, subject_id: UUID) -> list[str]:
    """Return the names of all objects of a person that the storage holds in a folder, older versions included."""
    return names_below(f"{folder}/{subject_id}")


def is_there(name: str) -> bool:
    with _errors():
        return bool(default_storage.exists(name))


def check() -> None:
    """Ask the storage whether it answers; raises Unavailable."""
    with _errors():
        default_storage.exists(f"{ATTACHMENTS}/check")


def watched(chunks: Iterable[bytes], key_id: UUID, *, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """Pass chunks on, and look again from time to time whether the key still lives; raises KeyDestroyed."""
    looked = clock()
    for chunk in chunks:
        if clock() - looked >= KEY_REREAD_SECONDS:
            check_live(key_id)
            looked = clock()
        yield chunk


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what the storage throws into errors of a place."""
    try:
        with storage_errors():
            yield
    except FileNotFoundError:
        raise MissingObject("an object is not in the storage") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_SIZE):
        yield chunk


class _Stream(Reader):
    """What a storage's `save` wants: chunks for a local one, `read` for the others; it cannot be rewound."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield from self._chunks

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stay: Google's and Azure's back ends go to the beginning before they begin. Elsewhere nobody can go."""
        if (offset, whence) != (self.tell(), io.SEEK_SET):
            raise io.UnsupportedOperation
        return offset
