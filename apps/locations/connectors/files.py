"""Local files: a folder of this machine in which each person has a path.

Everything is reached through open directories (openat(2), O_NOFOLLOW), so that a symbolic link can neither lead the
export outside nor the erasure to another person. A link itself is removed; what it points to is not touched. A file
with another name elsewhere (hard link) is left and reported: removing one of its names would not remove it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from apps.locations import own_ground
from apps.locations.connectors.files_folders import (
    FOLDER_FLAGS,
    READ_FLAGS,
    Folders,
    Found,
    Linked,
    info_of,
    names_in,
    read_at,
    refusal_of,
)
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.cursors import BYTES_DONE, END, Cursor
from apps.locations.errors import Refused, Unavailable
from apps.locations.finding import Finding, FindingForm
from apps.locations.paths import generated_name
from apps.locations.reasons import Reason
from apps.locations.said import said as _

PIECE_SIZE = 32 * 1024 * 1024  # a large file crosses batches in pieces
CHUNK_SIZE = 256 * 1024
ERASED_PER_PROGRESS = 500
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"


class ConfigForm(FindingForm):
    root = forms.CharField(
        label=gettext_lazy("Folder"), help_text=gettext_lazy("An absolute path on the machine of the workers.")
    )

    field_order = ("root", "templates", "inventory", "inventory_kind")

    def clean_root(self) -> str:
        root = str(self.cleaned_data["root"])
        if not root.startswith("/") or ".." in root.split("/") or root.strip("/") == "":
            raise ValidationError(_("Write an absolute path, as in /srv/exports, and not the root of the machine."))
        if refusal := own_ground.refusal(root):
            raise ValidationError(refusal)
        return root


class FilesConnector:
    label = gettext_lazy("Local files")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.root = str(config["root"])
        self.finding = Finding(config)

    def identity_kinds(self) -> set[str]:
        return self.finding.kinds()

    def summary(self) -> list[str]:
        return [
            *self.finding.words(),
            _("Reads each file there as it is; symbolic links are named and not followed."),
            _("Erases every file and link there, and the folders left empty, then looks again."),
            _("Keeps a file that has another name elsewhere (hard link), and says so."),
        ]

    def check(self) -> Health:
        with self._open_root() as root:
            problems = (
                ()
                if os.access(".", os.W_OK, dir_fd=root)
                else (_("Nothing can be erased here: the folder is read-only."),)
            )
        return Health(is_reachable=True, message=_("The folder can be read."), horizon_days=0, problems=problems)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        shared = sum(1 for _found in self._held(who))
        return [Obstacle(Reason.HARD_LINK, count=shared)] if shared else []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for found in self._walk(who):
            info = found.info
            yield Item(found.path, "file", info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each file and a line of index.jsonl that gives its own name; symbolic links are named, not followed."""
        at = Cursor.read(cursor)
        if at.path == END:
            return
        number = at.number
        with self._open_root() as opened, Folders(opened) as root:
            for found in self._walk(who, after=at.path):
                resumed = found.path == at.path
                if resumed and at.offset == 0:
                    continue
                if at.offset and not resumed:
                    yield from self._gone_entries(at)
                    at = Cursor(number, at.path, 0)
                number += 0 if resumed else 1
                name = generated_name(number, found.path)
                if found.is_file and not (resumed and at.offset == BYTES_DONE):
                    yield from self._file_entries(root, found, name, number, at.offset if resumed else 0)
                index = orjson.dumps(_described(found, name), option=orjson.OPT_APPEND_NEWLINE)
                at = Cursor(number, found.path, 0)
                yield Entry(INDEX_NAME, INDEX_TYPE, [index], at.text, part="piece", count=0 if found.is_file else 1)
        if at.offset:
            yield from self._gone_entries(at)
        if number:
            yield Entry(INDEX_NAME, INDEX_TYPE, [], Cursor(number, END, 0).text, part="last", count=0)

    def _gone_entries(self, at: Cursor) -> Iterator[Entry]:
        """End a file that went away between two batches, and say in the index that it is not, or not surely, whole."""
        name = generated_name(at.number, at.path)
        if at.offset != BYTES_DONE:
            done = Cursor(at.number, at.path, BYTES_DONE)
            yield Entry(name, "application/octet-stream", [], done.text, part="last", count=0)
        line = {"name": _shown(at.path), "file": name, "gone": True}
        index = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        yield Entry(INDEX_NAME, INDEX_TYPE, [index], Cursor(at.number, at.path, 0).text, part="piece", count=0)

    def _file_entries(self, root: Folders, found: Found, name: str, number: int, start: int) -> Iterator[Entry]:
        size = found.info.st_size
        while True:
            stop = min(start + PIECE_SIZE, size)
            is_last = stop >= size
            part = ("whole" if start == 0 else "last") if is_last else "piece"
            cursor = Cursor(number, found.path, BYTES_DONE if is_last else stop)
            chunks = self._read(root, found.path, start, stop)
            yield Entry(name, "application/octet-stream", chunks, cursor.text, part=part, count=1 if is_last else 0)
            if is_last:
                return
            start = stop

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Remove every name below the person's paths, then the folders left empty. A repeat finds what is left.

        A name that may not be removed keeps no other: it is refused when all the others are gone.
        """
        erased = 0
        refused: Refused | None = None
        with self._open_root() as opened, Folders(opened) as root:
            for found in self._going(who):
                try:
                    self._unlink(root, found.path)
                except Refused as refusal:
                    refused = refusal
                    continue
                erased += 1
                if erased == ERASED_PER_PROGRESS:
                    yield Progress(erased, "", {"files": erased})
                    erased = 0
            for path in self._paths(who):
                if path.endswith("/"):
                    self._remove_empty(root, path.strip("/"))
        if erased:
            yield Progress(erased, "", {"files": erased})
        if refused:
            raise refused

    def _going(self, who: Identity) -> Iterator[Found]:
        """Yield what an erasure removes: everything at once, then files of several names that are all the person's."""
        linked = Linked()
        for found in self._walk(who):
            if not linked.takes(found):
                yield found
        yield from linked.whole()

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        linked, count = Linked(), 0
        for found in self._walk(who):
            linked.takes(found)
            count += 1
        if count == 0:
            return Remaining(0)
        held = sum(1 for _found in linked.held())
        return Remaining(count, Reason.HARD_LINK if held == count else Reason.STILL_THERE)

    # Below: the walk.

    def _paths(self, who: Identity) -> list[str]:
        return [search.path for search in self.finding.searches(who, self._read_inventory)]

    def _read_inventory(self, path: str) -> Iterator[bytes]:
        with self._open_root() as opened, Folders(opened) as root:
            info = self._info_of(root, path)
            if info is None:
                raise Refused(_("The inventory file is not there: nobody can say what is whose."))
            yield from self._read(root, path, 0, info.st_size)

    def _info_of(self, root: Folders, path: str) -> os.stat_result | None:
        folder, _slash, name = path.rpartition("/")
        opened = root.open(folder)
        return next((found.info for found in self._single(opened, folder, name)), None) if opened is not None else None

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        if refusal := own_ground.refusal(self.root):
            raise Refused(refusal)
        try:
            root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Unavailable(_("The folder is not there; is the disk mounted?")) from None
        except NotADirectoryError:
            raise Refused(_("The path is not a folder.")) from None
        except PermissionError:
            raise Refused(_("The folder may not be read.")) from None
        except OSError as error:
            raise Unavailable(
                _("The folder cannot be opened (%(code)s).") % {"code": errno.errorcode.get(error.errno or 0)}
            ) from None
        try:
            yield root
        finally:
            os.close(root)

    def _walk(self, who: Identity, after: str = "") -> Iterator[Found]:
        """Yield every name that is not a folder, in one fixed order; with `after`, from that path on."""
        start = _order(after)
        with self._open_root() as opened, Folders(opened) as root:
            for path in sorted(self._paths(who), key=_order):
                folder, _slash, name = path.rpartition("/")
                there = root.open(folder)
                if there is None:
                    continue
                below = self._below(there, folder) if path.endswith("/") else self._single(there, folder, name)
                yield from (found for found in below if _order(found.path) >= start) if after else below

    def _single(self, folder: int, path: str, name: str) -> Iterator[Found]:
        info = info_of(folder, name)
        if info is None:
            return
        if stat.S_ISDIR(info.st_mode):
            raise Refused(_("A folder stands where the template names a file."))
        yield Found(f"{path}/{name}".lstrip("/"), info)

    def _below(self, folder: int, path: str) -> Iterator[Found]:
        start = f"{path}/" if path else ""
        for name in names_in(folder):
            info = info_of(folder, name)
            if info is None:
                continue  # went away meanwhile
            below = start + name
            if not stat.S_ISDIR(info.st_mode):
                yield Found(below, info)
                continue
            try:
                opened = os.open(name, FOLDER_FLAGS, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refusal_of(error) from None
            try:
                yield from self._below(opened, below)
            finally:
                os.close(opened)

    def _held(self, who: Identity) -> Iterator[Found]:
        """Yield the files that have another name outside the person's paths (hard links)."""
        linked = Linked()
        for found in self._walk(who):
            linked.takes(found)
        return linked.held()

    def _read(self, root: Folders, path: str, start: int, stop: int) -> Iterator[bytes]:
        folder, _slash, name = path.rpartition("/")
        opened = root.open(folder)
        if opened is None:
            raise Unavailable(_("A file went away while it was read."))
        try:
            descriptor = os.open(name, READ_FLAGS, dir_fd=opened)
        except OSError as error:
            raise refusal_of(error) from None
        at = start
        try:
            while at < stop and (chunk := read_at(descriptor, min(CHUNK_SIZE, stop - at), at)):
                at += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)
        if at < stop:
            raise Unavailable(_("A file became shorter while it was read."))

    def _unlink(self, root: Folders, path: str) -> None:
        folder, _slash, name = path.rpartition("/")
        opened = root.open(folder)
        if opened is None:
            return
        try:
            os.unlink(name, dir_fd=opened)
        except FileNotFoundError:
            return  # a repeat after a crash
        except OSError as error:
            raise refusal_of(error) from None

    def _remove_empty(self, root: Folders, path: str) -> None:
        """Remove a folder and those below it, deepest first, as far as they are empty."""
        folder = root.open(path)
        if folder is None:
            return
        for name in [name for name in names_in(folder) if _is_folder(folder, name)]:
            self._remove_empty(root, f"{path}/{name}")
        parent, _slash, name = path.rpartition("/")
        opened = root.open(parent)
        if opened is None:
            return
        try:
            os.rmdir(name, dir_fd=opened)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise refusal_of(error) from None


def _is_folder(folder: int, name: str) -> bool:
    info = info_of(folder, name)
    return info is not None and stat.S_ISDIR(info.st_mode)


def _described(found: Found, name: str) -> dict[str, Any]:
    line: dict[str, Any] = {"name": _shown(found.path), "size": found.info.st_size}
    line["modified"] = datetime.fromtimestamp(found.info.st_mtime, UTC)
    if found.is_file:
        return line | {"file": name}
    return line | {"not_followed": "link" if found.is_link else "special file"}


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _order(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
