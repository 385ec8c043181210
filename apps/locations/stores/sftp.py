"""A folder on an SFTP server as a store. A value appears under its name when it is whole: written beside it, then renamed.

Links are never followed: where one stands on the way to a value, a person has to look.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from apps.locations.connectors.sftp import SftpConnector
from apps.locations.connectors.storages import foreign_errors
from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing

READ_SIZE = 256 * 1024
PART = ".part"


class SftpStore:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self._connector = SftpConnector(config)
        self.base = str(config["root"])
        self.root = posixpath.join(self.base, target) if target else self.base
        self._made: set[str] = set()  # folders that are there, and no links

    @property
    def _sftp(self) -> Any:
        return self._connector.storage.sftp

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._path(name)
        unfinished = f"{path}.{uuid4().hex[:8]}{PART}"
        is_whole = False
        with self._errors():
            self._make(posixpath.dirname(path))
            try:
                self._write(unfinished, chunks)
                self._sftp.posix_rename(unfinished, path)
                is_whole = True
            finally:
                if not is_whole:
                    self._remove(unfinished)

    def _write(self, path: str, chunks: Iterable[bytes]) -> None:
        size = 0
        with self._sftp.open(path, "wbx") as file:
            file.chmod(0o600)
            file.set_pipelined(True)
            for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
        if self._sftp.stat(path).st_size != size:
            raise Unavailable(_("A file was not stored whole."))

    def get(self, name: str) -> Iterator[bytes]:
        path = self._path(name)
        with self._errors():
            if not self._has_way(path):
                raise FileNotFoundError
            with self._sftp.open(path, "rb") as file:
                file.prefetch()
                while chunk := file.read(READ_SIZE):
                    yield chunk

    def delete(self, names: Sequence[str]) -> None:
        with self._errors():
            self._check_base()
            for name in names:
                path = self._path(name)
                if not self._has_way(path):
                    continue
                self._remove(path)
                for parent in _parents(path, self.root):
                    if not self._remove_if_empty(parent):
                        break

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield files in the order of their names; links are not followed."""
        with self._errors():
            self._check_base()
        folder = posixpath.dirname(prefix)
        behind = after.removeprefix(f"{folder}/" if folder else "").split("/") if after else []
        for path, info in self._walk(posixpath.join(self.root, folder) if folder else self.root, behind):
            name = posixpath.relpath(path, self.root)
            if name.startswith(prefix):
                yield Found(name, int(info.st_size or 0), f"{info.st_mtime}-{info.st_size}")

    def _walk(self, folder: str, behind: list[str]) -> Iterator[tuple[str, Any]]:
        """Yield the files below, but those that come before a path; folders before it are not read."""
        try:
            with self._errors():
                if not self._has_way(f"{folder}/x"):
                    return
                listed = sorted(self._sftp.listdir_attr(folder), key=lambda one: str(one.filename))
        except Missing:
            return
        for one in listed:
            path = posixpath.join(folder, one.filename)
            is_on_way = bool(behind) and one.filename == behind[0]
            if behind and one.filename < behind[0]:
                continue
            if stat.S_ISDIR(one.st_mode):
                yield from self._walk(path, behind[1:] if is_on_way else [])
            elif stat.S_ISREG(one.st_mode) and not is_on_way:
                yield path, one

    def _path(self, name: str) -> str:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise Refused(_("A name would lead out of the folder."))
        return posixpath.join(self.root, name)

    def _check_base(self) -> None:
        """An empty mount point looks like a folder in which everything was deleted: only the base itself can tell."""
        try:
            found = self._sftp.stat(self.base)
        except FileNotFoundError:
            found = None
        if found is None or not stat.S_ISDIR(found.st_mode):
            raise Unavailable(_("The folder is not there; is the disk mounted?"))

    def _make(self, folder: str) -> None:
        self._check_base()
        for path in [*reversed(list(_parents(folder, self.base))), folder]:
            if path != self.base and not self._is_folder(path):
                self._sftp.mkdir(path, 0o700)
                self._made.add(path)

    def _has_way(self, path: str) -> bool:
        """Say whether the folders above are there; a link among them is refused."""
        return all(self._is_folder(parent) for parent in reversed(list(_parents(path, self.base))))

    def _is_folder(self, path: str) -> bool:
        """Say whether a folder is there; one that was seen is not asked again within this store's short life."""
        if path in self._made:
            return True
        try:
            found = self._sftp.lstat(path)
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(found.st_mode):
            raise Refused(_("A link or a file stands in the way; it is not followed. A person has to look."))
        self._made.add(path)
        return True

    def _remove(self, path: str) -> None:
        try:
            self._sftp.remove(path)
        except FileNotFoundError:
            return

    def _remove_if_empty(self, folder: str) -> bool:
        try:
            self._sftp.rmdir(folder)
        except OSError:  # not empty, or gone
            return False
        self._made.discard(folder)
        return True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with foreign_errors():
                yield
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(_("A file is not there.")) from None


def _parents(path: str, root: str) -> Iterator[str]:
    """Yield the folders above, the nearest first, down to but without the root."""
    parent = posixpath.dirname(path)
    while parent != root and len(parent) > len(root):
        yield parent
        parent = posixpath.dirname(parent)
