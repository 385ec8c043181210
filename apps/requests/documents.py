"""Files that come by a form: what they are called, and how large they may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.requests.errors import TooLarge

LARGEST = 20 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """What a document is called and what it is."""

    name: str
    media_type: str


class Counted:
    """Counts the chunks as they pass, and stops at what is too large."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > LARGEST:
                raise TooLarge
            yield chunk
