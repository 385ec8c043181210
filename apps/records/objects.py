"""Sealed objects in storage: attachments and uploads. Nothing lies there in the clear, and names are random.

Every object is written down before it is uploaded, so that a crash leaves no unknown one (DESIGN §4).
"""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, cast
from uuid import UUID

from django.core.files.storage import default_storage

from apps.keys import services as keys
from apps.locations.errors import StorageFull, Unavailable
from apps.sealing.signatures import random_token
from apps.sealing.streams import seal_stream, unseal_stream

KEY_REREAD_SECONDS = 30.0  # a stream breaks off at a tombstone within 60 s (DESIGN §2)
READ_SIZE = 256 * 1024
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def random_name(folder: str) -> str:
    """Return `folder/<2>/<random>`: many objects in one folder are slow on some file systems."""
    token = random_token().lower()
    return f"{folder}/{token[:2]}/{token}"


def upload(name: str, chunks: Iterable[bytes], *, key_id: UUID, key: bytes, context: bytes) -> None:
    """Seal a stream into storage under a name that is written down; raises StorageFull or Unavailable."""
    sealed = seal_stream(key, watched(chunks, key_id), context=context)
    with storage_errors():
        kept = default_storage.save(name, cast(IO[bytes], _Stream(sealed)))
    if kept != name:
        delete(kept)
        raise Unavailable("The storage gave an object another name than it was asked to.")


def download(name: str, *, key_id: UUID, key: bytes, context: bytes) -> Iterator[bytes]:
    """Yield the plain bytes of an object; breaks off with KeyDestroyed when the key is destroyed meanwhile."""
    with storage_errors(), default_storage.open(name, "rb") as file:
        yield from unseal_stream(key, watched(_pieces(file), key_id), context=context)


def delete(name: str) -> None:
    """Delete an object; one that is not there is no error."""
    with storage_errors():
        default_storage.delete(name)


def is_there(name: str) -> bool:
    with storage_errors():
        return bool(default_storage.exists(name))


def watched(chunks: Iterable[bytes], key_id: UUID, *, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """Pass chunks on, and look again from time to time whether the key still lives; raises KeyDestroyed."""
    looked = clock()
    for chunk in chunks:
        if clock() - looked >= KEY_REREAD_SECONDS:
            keys.open_key(key_id)
            looked = clock()
        yield chunk


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what the storage throws into our errors. The providers' packages are only there where they are used."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("There is no room left in the storage.") from None
        raise Unavailable(f"The storage does not answer: {error.strerror or type(error).__name__}.") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_SIZE):
        yield chunk


class _Stream(io.RawIOBase):
    """What a storage's `save` wants: chunks for a local one, `read` for the others; it cannot be rewound."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield from self._chunks

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, less only at the end: a short part would be refused in a multipart upload."""
        parts = [self._rest]
        have = len(self._rest)
        while size is None or size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        end = len(data) if size is None or size < 0 else size
        self._rest = data[end:]
        return data[:end]
