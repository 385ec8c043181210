"""Lines of a text in any encoding, with any line ends, one at a time."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from .encodings import open_as_utf8
from .limits import CHUNK_BYTES, MIB
from .sources import Source

MAX_LINE_CHARACTERS = 4 * MIB  # a longer line is cut: it would have to be held whole


def text_lines(source: Source, encoding: str) -> Iterator[str]:
    """Each line without its end."""
    reader = open_as_utf8(source, encoding)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    rest = ""
    try:
        while chunk := reader.read(CHUNK_BYTES):
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            yield from whole
            if len(rest) > MAX_LINE_CHARACTERS:
                yield rest
                rest = ""
    finally:
        reader.close()
    *whole, rest = (rest + decoder.decode(b"", final=True)).split("\n")
    yield from whole
    if rest:
        yield rest
