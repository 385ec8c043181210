"""A stretch of bytes that can be read from the beginning as often as needed: a file, or an entry of a ZIP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.utils.translation import gettext as _

from .errors import UnreadableFile
from .limits import CHUNK_BYTES, HEAD_BYTES


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Source:
    """`name` is for messages to people; `open` gives a new reader each time, which raises UnreadableFile when damaged."""

    name: str
    size: int
    open: Callable[[], Readable]

    def chunks(self) -> Iterator[bytes]:
        reader = self.open()
        try:
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk
        finally:
            reader.close()

    def head(self, size: int = HEAD_BYTES) -> bytes:
        reader = self.open()
        try:
            head = b""
            while len(head) < size and (chunk := reader.read(size - len(head))):
                head += chunk
            return head
        finally:
            reader.close()


def file_source(path: Path, name: str = "") -> Source:
    """The file at `path`; raises UnreadableFile if it is not there, not a file, or not readable."""
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise UnreadableFile(_("The file cannot be opened: %(reason)s.") % {"reason": error.strerror}) from None
    if not path.is_file():
        raise UnreadableFile(_("This is not a file."))
    if not size:
        raise UnreadableFile(_("The file is empty."))
    return Source(name or path.name, size, lambda: path.open("rb"))
