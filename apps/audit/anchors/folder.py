"""A folder: a mounted share of somebody else's machine, or a disk that is carried away. A file is never overwritten.

The folder itself is never made: one that is missing is a share that is not mounted, and what is written in its place would
lie on this machine and count as anchored. So the folder named should lie inside the share, not be the point it is mounted on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from apps.audit import notes
from apps.audit.errors import AnchorUnreachable

_NAME = re.compile(r"checkpoint-[0-9]{19}-[0-9a-f]{16}")
LARGEST = 64 * 1024


class FolderAnchor:
    can_be_read = True

    def __init__(self, *, path: str) -> None:
        self._folder = Path(path)

    def publish(self, note: str) -> bytes:
        """Write a file of its own, named by size and hash, so that the names sort by size; it and the folder are synced."""
        size = notes.read_checkpoint(note).size
        target = self._folder / f"checkpoint-{size:019d}-{sha256(note.encode()).hexdigest()[:16]}"
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
            self._sync()
        except OSError as error:
            raise AnchorUnreachable(f"the folder cannot be written: {error.strerror}") from None
        return b""

    def kept(self) -> Iterator[str]:
        try:
            names = sorted((path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
            for name in names:
                with (self._folder / name).open("rb") as file:
                    yield file.read(LARGEST).decode("utf-8", "replace")
        except OSError as error:
            raise AnchorUnreachable(f"the folder cannot be read: {error.strerror}") from None

    def _sync(self) -> None:
        """Let the new name survive a power cut too."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
