"""Folders and names of a disk, for local files: opened part by part below an open root, and no link is ever followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in a file's place: nobody waits


class Found(NamedTuple):
    """One name below the root: its path, and what lstat(2) says."""

    path: str
    info: os.stat_result

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.info.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.info.st_mode)


class Folders:
    """Opens folders below an open root part by part, following no link. The last one stays open for the names beside."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = ""
        self._held: int | None = None

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def open(self, path: str) -> int | None:
        """Return a folder's descriptor, which holds until the next call; None when it is not there."""
        path = path.strip("/")
        if not path:
            return self._root
        if self._held is None or path != self._path:
            self._close()
            self._held, self._path = self._opened(path), path
        return self._held

    def _opened(self, path: str) -> int | None:
        current: int | None = None
        for part in filter(None, path.split("/")):
            above = self._root if current is None else current
            try:
                current, above = os.open(part, FOLDER_FLAGS, dir_fd=above), above
            except FileNotFoundError:
                return None
            except OSError as error:
                raise refusal_of(error) from None
            finally:
                if above != self._root:
                    os.close(above)
        return current

    def _close(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


class Linked:
    """Files that have several names (hard links): gathered, since only all of their names tell whether they may go."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], list[Found]] = {}

    def takes(self, found: Found) -> bool:
        """Take a file in if it has more than one name."""
        if found.info.st_nlink < 2 or not found.is_file:
            return False
        self._names.setdefault((found.info.st_dev, found.info.st_ino), []).append(found)
        return True

    def whole(self) -> Iterator[Found]:
        """Yield those of which every name was taken in."""
        return (one for same in self._names.values() if len(same) >= same[0].info.st_nlink for one in same)

    def held(self) -> Iterator[Found]:
        """Yield those that have another name elsewhere."""
        return (one for same in self._names.values() if len(same) < same[0].info.st_nlink for one in same)


def names_in(folder: int) -> list[str]:
    """Return the names in an open folder, sorted. Names only, however many: what each one is, `info_of` says."""
    try:
        with os.scandir(folder) as entries:
            return sorted([entry.name for entry in entries])
    except OSError as error:
        raise refusal_of(error) from None


def info_of(folder: int, name: str) -> os.stat_result | None:
    """Return what lstat(2) says of a name in an open folder; None when it is gone."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refusal_of(error) from None


def read_at(descriptor: int, size: int, at: int) -> bytes:
    try:
        return os.pread(descriptor, size, at)
    except OSError as error:
        raise refusal_of(error) from None


def refusal_of(error: OSError) -> Refused | Unavailable:
    if error.errno == errno.ELOOP or error.errno == errno.ENOTDIR:
        return Refused(_("A symbolic link stands in the way; it is not followed. A person has to look."))
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Refused(_("A file may not be read or removed: permissions are missing."))
    return Unavailable(
        _("The disk answers with %(code)s.") % {"code": errno.errorcode.get(error.errno or 0, "an error")}
    )
