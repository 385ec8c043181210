"""A folder of this machine as a store. A value appears under its name when it is whole: written beside it, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from apps.locations import own_ground
from apps.locations.errors import Refused, StorageFull, Unavailable
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing

READ_SIZE = 256 * 1024
PART = ".part"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FilesStore:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self.base = Path(str(config["root"]))
        self.root = self.base / target if target else self.base

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._path(name)
        with self._errors():
            self._check_base()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = path.with_name(f"{path.name}.{uuid4().hex[:8]}{PART}")
            try:
                with unfinished.open("xb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
                _sync(path.parent)
            finally:
                unfinished.unlink(missing_ok=True)

    def get(self, name: str) -> Iterator[bytes]:
        with self._errors():
            self._check_base()  # else every copy would count as missing, and as to be written anew
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                while chunk := file.read(READ_SIZE):
                    yield chunk

    def delete(self, names: Sequence[str]) -> None:
        with self._errors():
            self._check_base()
            for name in names:
                path = self._path(name)
                path.unlink(missing_ok=True)
                for parent in path.parents:
                    if parent == self.root or not _remove_if_empty(parent):
                        break

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        """Yield files in the order of their names; links are not followed."""
        with self._errors():
            self._check_base()
        folder, _slash, _rest = prefix.rpartition("/")
        behind = after.removeprefix(f"{folder}/" if folder else "").split("/") if after else []
        for path, info in self._walk(self.root / folder if folder else self.root, behind):
            name = path.relative_to(self.root).as_posix()
            if name.startswith(prefix):
                yield Found(name, info.st_size, f"{info.st_mtime_ns}-{info.st_size}")

    def _walk(self, folder: Path, behind: list[str]) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the files below, but those that come before a path; folders before it are not read."""
        try:
            with self._errors(), os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except Missing:
            return
        for entry in listed:
            is_on_way = bool(behind) and entry.name == behind[0]
            if behind and entry.name < behind[0]:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), behind[1:] if is_on_way else [])
            elif entry.is_file(follow_symlinks=False) and not is_on_way:
                try:
                    yield Path(entry.path), entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue

    def _path(self, name: str) -> Path:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise Refused(_("A name would lead out of the folder."))
        self._check_allowed()
        return self.root / name

    def _check_allowed(self) -> None:
        if refusal := own_ground.refusal(str(self.root)):
            raise Refused(refusal)

    def _check_base(self) -> None:
        """An empty mount point looks like a folder in which everything was deleted: only the base itself can tell."""
        self._check_allowed()
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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone
        return False
    return True
