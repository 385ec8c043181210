"""A folder of this machine as a store. A value appears under its name when it is whole: written beside it, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from apps.locations import own_ground
from apps.locations.connectors.files_folders import FOLDER_FLAGS, READ_FLAGS
from apps.locations.errors import Refused, StorageFull, Unavailable
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing

READ_SIZE = 256 * 1024
PART = ".part"
NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FilesStore:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self.base = Path(str(config["root"]))
        self.target = target

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        folder, last = _parts(name)
        with self._errors(), self._opened(folder, make=True) as at:
            unfinished = f"{last}.{uuid4().hex[:8]}{PART}"
            try:
                with os.fdopen(os.open(unfinished, NEW_FLAGS, 0o600, dir_fd=at), "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(unfinished, last, src_dir_fd=at, dst_dir_fd=at)
                os.fsync(at)
            finally:
                _unlink(unfinished, at)

    def get(self, name: str) -> Iterator[bytes]:
        folder, last = _parts(name)
        with self._errors():
            with self._opened(folder) as at:
                descriptor = os.open(last, READ_FLAGS, dir_fd=at)
            with os.fdopen(descriptor, "rb") as file:
                while chunk := file.read(READ_SIZE):
                    yield chunk

    def delete(self, names: Sequence[str]) -> None:
        with self._errors():
            for name in names:
                folder, last = _parts(name)
                try:
                    with self._opened(folder) as at:
                        _unlink(last, at)
                except FileNotFoundError:  # the folder itself is gone
                    continue
                while folder and self._is_removed_empty(folder):
                    folder = folder.rpartition("/")[0]

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield files in the order of their names; links are not followed."""
        folder, _slash, _rest = prefix.rpartition("/")
        behind = after.removeprefix(f"{folder}/" if folder else "").split("/") if after else []
        for name, info in self._walk(folder, behind):
            if name.startswith(prefix):
                yield Found(name, info.st_size, f"{info.st_mtime_ns}-{info.st_size}")

    def _walk(self, folder: str, behind: list[str]) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files below, but those that come before a path; folders before it are not read."""
        try:
            with self._errors(), self._opened(folder) as at:
                with os.scandir(at) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
                yield from self._listed(folder, listed, behind)
        except Missing:
            return

    def _listed(
        self, folder: str, listed: list[os.DirEntry[str]], behind: list[str]
    ) -> Iterator[tuple[str, os.stat_result]]:
        for entry in listed:
            is_on_way = bool(behind) and entry.name == behind[0]
            if behind and entry.name < behind[0]:
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name, behind[1:] if is_on_way else [])
            elif entry.is_file(follow_symlinks=False) and not is_on_way:
                try:
                    yield name, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _opened(self, folder: str, *, make: bool = False) -> Iterator[int]:
        """Open a folder below the base part by part, following no link: whoever can write there could make one that leads
        to somebody else's files, or to those of Habeas, and an erasure would delete what it finds.
        """
        self._check_base()  # else every copy would count as missing, and as to be written anew
        at = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in filter(None, f"{self.target}/{folder}".split("/")):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=at)
                above, at = at, os.open(part, FOLDER_FLAGS, dir_fd=at)
                os.close(above)
            yield at
        finally:
            os.close(at)

    def _is_removed_empty(self, folder: str) -> bool:
        above, _slash, last = folder.rpartition("/")
        try:
            with self._opened(above) as at:
                os.rmdir(last, dir_fd=at)
        except OSError:  # not empty, or gone
            return False
        return True

    def _check_base(self) -> None:
        """An empty mount point looks like a folder in which everything was deleted: only the base itself can tell."""
        if refusal := own_ground.refusal(str(self.base / self.target)):
            raise Refused(refusal)
        if not self.base.is_dir():
            raise Unavailable(_("The folder is not there; is the disk mounted?"))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(_("A file is not there.")) from None
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(_("There is no room left in the folder.")) from None
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR}:
                raise Refused(_("The folder may not be read or written.")) from None
            raise Unavailable(_("The disk does not answer.")) from None


def _parts(name: str) -> tuple[str, str]:
    """Return the folder and the last part of a name."""
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise Refused(_("A name would lead out of the folder."))
    folder, _slash, last = name.rpartition("/")
    return folder, last


def _unlink(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
