"""The log as files outside the database, under settings.TILES_DIR, in the layout of C2SP tlog-tiles.

checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]. Each file is written under another name, synced and renamed:
a reader sees the old one or the new one, whole. What is there already is known from the folder's own checkpoint, which is
written last; so a crash, or a folder that was lost, heals at the next run.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from django.conf import settings

from apps.audit import merkle, notes, tiles
from apps.audit.errors import BadNote, LogDiverged, PublishingFailed
from apps.audit.models import Checkpoint

CHECKPOINT = "checkpoint"
AT_ONCE = 16  # files synced together
LOCK_SECONDS = 10.0  # as long as whoever waits for a signature waits


@contextmanager
def publisher() -> Iterator[None]:
    """Let one process of this machine publish at a time; trouble with the disk becomes PublishingFailed."""
    try:
        _make_folder(_root())
        with (_root() / ".lock").open("w") as lock:
            _take(lock.fileno())
            shutil.rmtree(_root() / ".tmp", ignore_errors=True)  # what a crash left behind
            yield
    except OSError as error:
        raise PublishingFailed(f"the folder of tiles cannot be written: {error.strerror}") from error


def published() -> notes.CheckpointText | None:
    """Return what the folder's checkpoint says, or None for an empty folder."""
    return _statement(published_note())


def put_away_checkpoint(number: int) -> notes.CheckpointText | None:
    """Return the same of a log that was put away under this number."""
    return _statement(_note(_root() / "earlier" / str(number) / CHECKPOINT))


def _statement(note: str | None) -> notes.CheckpointText | None:
    try:
        return None if note is None else notes.read_checkpoint(note)
    except BadNote:
        raise LogDiverged("the published checkpoint cannot be read") from None


def published_note() -> str | None:
    """Return the folder's checkpoint as it was signed, or None for an empty folder."""
    return _note(_root() / CHECKPOINT)


def _note(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise LogDiverged("the published checkpoint cannot be read") from None


def put_away(number: int, newest: Checkpoint | None, *, is_present: Callable[[], bool]) -> None:
    """Move the published log to earlier/<number>, as it is; where nothing was published, write there what is known of it.

    Unless that log has given way already: asked under the lock, so that the next one is not moved in its place.
    """
    folder = _root() / "earlier" / str(number)
    with publisher():
        if not is_present():
            return
        _make_folder(folder)
        found = [path for path in (_root() / CHECKPOINT, _root() / "tile") if path.exists()]
        for path in found:
            path.replace(folder / path.name)
        if newest is not None and not (folder / CHECKPOINT).exists():
            _write((f"earlier/{number}/{name}", data) for name, data in files_of(newest.size))
            _write([(f"earlier/{number}/{CHECKPOINT}", newest.note.encode())])


def read(name: str) -> bytes:
    """Return a published tile; raises LogDiverged when it is not there."""
    try:
        return (_root() / name).read_bytes()
    except OSError as error:
        raise LogDiverged(f"{name} of the published log cannot be read: {error.strerror}") from None


def publish(start: int, size: int, note: str) -> None:
    """Write every tile that a log of `size` leaves has and one of `start` has not, then the checkpoint."""
    full = [name for name in _write(files_of(size, start)) if "." not in name]
    _write([(CHECKPOINT, note.encode())])
    for name in full:  # readers fall back to the full tile, so partial ones may go (tlog-tiles, "Partial Tiles")
        shutil.rmtree(_root() / f"{name}.p", ignore_errors=True)


def files_of(size: int, start: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each tile of a log of `size` leaves that one of `start` leaves does not have."""
    level = 0
    while (new := size >> (merkle.TILE_HEIGHT * level)) > (old := start >> (merkle.TILE_HEIGHT * level)):
        for index in range(old // merkle.TILE_WIDTH, -(-new // merkle.TILE_WIDTH)):
            width = merkle.tile_width(size, level, index)
            if level == 0:
                yield tiles.path_of(tiles.ENTRIES, index, width), tiles.entry_bundle(index, width)
            yield tiles.path_of(level, index, width), b"".join(tiles.read_hashes(level, index, width))
        level += 1


def _root() -> Path:
    return Path(settings.TILES_DIR)


def _take(lock: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _write(files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Put files there, each whole, and return their names once all of them are on the disk.

    Syncs of several files at once cost a disk little more than one.
    """
    written = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        files = iter(files)
        while moves := [(_temporary(data), _root() / name, name) for name, data in islice(files, AT_ONCE)]:
            folders = {target.parent for _source, target, _name in moves}
            above = {folder for target in folders for folder in _make_folders(target)}
            list(pool.map(_sync, [source for source, _target, _name in moves]))
            for source, target, _name in moves:
                source.replace(target)
            list(pool.map(_sync, folders | above))
            written += [name for _source, _target, name in moves]
    return written


def _temporary(data: bytes) -> Path:
    path = _root() / ".tmp" / secrets.token_hex(8)
    path.parent.mkdir(exist_ok=True)  # not synced: nothing of it has to be there after a power cut
    path.write_bytes(data)
    return path


def _make_folder(folder: Path) -> None:
    for above in _make_folders(folder):
        _sync(above)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder with those above it; return in which folders names are new, to be synced."""
    if folder.is_dir():
        return []
    above = _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    return [*above, folder.parent]


def _sync(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
