"""How far an export of files or objects is."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

BYTES_DONE = -1
END = "\U0010ffff"  # sorts after every path


@dataclass(frozen=True)
class Cursor:
    """Files numbered so far, the last path, and where in that file to go on.

    `offset` 0: that path is done; BYTES_DONE: its bytes are, its line in the index is not. A cursor names a path, so the
    engine seals it.
    """

    number: int
    path: str
    offset: int

    @classmethod
    def read(cls, text: str) -> Cursor:
        return cls(*orjson.loads(text)) if text else cls(0, "", 0)

    @property
    def text(self) -> str:
        return orjson.dumps([self.number, self.path, self.offset]).decode()
