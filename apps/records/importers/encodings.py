"""Find the encoding of a text from its bytes, and read it as UTF-8 whatever it is."""

from __future__ import annotations

import codecs

from .limits import CHUNK_BYTES
from .sources import Readable, Source

_MARKS = (  # the longer ones first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_IN_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\x1e"))


def encoding_of(source: Source) -> str:
    """The name of the encoding, or "" when these bytes are no text."""
    head = source.head()
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        return _without_mark(head)
    if len(head.translate(None, _NOT_IN_TEXT)) < len(head) * 0.99:
        return ""
    return _guess(_first_words_beyond_ascii(source))


def open_as_utf8(source: Source, encoding: str) -> Readable:
    """The same text as UTF-8 without a byte order mark."""
    reader = source.open()
    return reader if encoding == "utf-8" else _Transcoder(reader, encoding)


def _without_mark(head: bytes) -> str:
    """UTF-16 without a mark has a zero in every second byte of its Latin letters; other files with zeros are no text."""
    pairs = len(head) // 2
    even, odd = head[0 : pairs * 2 : 2].count(0), head[1 : pairs * 2 : 2].count(0)
    if odd > pairs * 0.1 and even < pairs * 0.01 + 1 and _is_readable(head, "utf-16-le"):
        return "utf-16-le"
    if even > pairs * 0.1 and odd < pairs * 0.01 + 1 and _is_readable(head, "utf-16-be"):
        return "utf-16-be"
    is_mostly_text = head.count(0) <= len(head) * 0.01  # zeros strewn into a text
    return "utf-8" if is_mostly_text and len(head.translate(None, _NOT_IN_TEXT)) >= len(head) * 0.97 else ""


def _is_readable(head: bytes, encoding: str) -> bool:
    text = head[: len(head) // 2 * 2].decode(encoding, "replace")
    odd = sum(not (character.isprintable() or character in "\t\r\n") for character in text[:1000])
    return odd <= len(text[:1000]) * 0.02


def _first_words_beyond_ascii(source: Source) -> bytes:
    """The first stretch of the file that says something about its encoding."""
    reader = source.open()
    try:
        while chunk := reader.read(CHUNK_BYTES):
            if not chunk.isascii():
                start = next(index for index, byte in enumerate(chunk) if byte > 127)
                return chunk[start:] + reader.read(CHUNK_BYTES)
    finally:
        reader.close()
    return b""


def _guess(sample: bytes) -> str:
    if _decodes(sample, "utf-8"):
        return "utf-8"
    text = sample.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    sound = sum(character > "\x7f" for character in text) - damaged
    if damaged * 10 <= sound:
        return "utf-8"
    return "gb18030" if _decodes(sample, "gb18030") else "cp1252"


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)  # not final: the sample may end within a character
    except UnicodeDecodeError:
        return False
    return True


class _Transcoder:
    """A reader of UTF-8 over a reader of another encoding; what does not decode becomes U+FFFD."""

    def __init__(self, reader: Readable, encoding: str) -> None:
        self._reader = reader
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._ready = b""
        self._is_done = False

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and not self._is_done:
            chunk = self._reader.read(CHUNK_BYTES)
            self._is_done = not chunk
            text = self._decoder.decode(chunk, final=self._is_done)
            self._ready += text.encode("utf-8", "replace")
        ready, self._ready = self._ready[:size], self._ready[size:]
        return ready

    def close(self) -> None:
        self._reader.close()
