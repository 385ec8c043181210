"""How far an export of files or objects is."""

from __future__ import annotations

import json
from typing import NamedTuple

import orjson

BYTES_DONE = -1
TORN = -2
ANEW = -3
END = "\U0010ffff"  # sorts after every path


class Cursor(NamedTuple):
    """Files numbered so far, the last path, and where in that file to go on.

    `offset` 0: that path is done; BYTES_DONE: its bytes are, its line in the index is not; TORN: the same of
    bytes that are not whole; ANEW: that is said, and the path is begun again. `mark` is of the version whose bytes were
    read. A cursor names a path, so the engine seals it. A named tuple, since there are two for each file.
    """

    number: int
    path: str
    offset: int
    mark: str = ""

    @classmethod
    def read(cls, text: str) -> Cursor:
        return cls(*json.loads(text)) if text else cls(0, "", 0)

    @property
    def text(self) -> str:
        values = [self.number, self.path, self.offset, *([self.mark] if self.mark else [])]
        try:
            return orjson.dumps(values).decode()
        except TypeError:  # a file's name may be no text, and orjson refuses lone surrogates
            return json.dumps(values)
