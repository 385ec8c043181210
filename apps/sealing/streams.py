"""Sealing of files and other long content, in bounded memory and with random access.

A sealed stream is one byte, the version, and then a message of Cobblestone-256, that is C2SP chunked-encryption
(c2sp.org/chunked-encryption) with SHA-512 and AES-256-GCM: salt (24) || commitment (32) || chunks of 16 KiB, each with
its tag. The last chunk is always shorter than 16 KiB, which is what marks it: truncation, reordering and trailing bytes
do not authenticate. Key, base nonce and commitment are derived from the input key, a random salt and the context. So no
nonce can repeat under a key, and the commitment makes sure that a sealed stream opens under one key only.

Whole streams go through the implementation of pyca/cryptography; it has no random access, so ranges are opened here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from apps.sealing.errors import DecryptionError
from apps.sealing.hkdf import KEY_SIZE, check_key

VERSION = b"\x01"
SALT_SIZE = 24
NONCE_SIZE = 12
COMMITMENT_SIZE = 32
TAG_SIZE = 16
CHUNK_SIZE = 16 * 1024
SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE
HEADER_SIZE = len(VERSION) + SALT_SIZE + COMMITMENT_SIZE
PIECE_SIZE = 256 * 1024  # small pieces are joined up to this: the cipher and the disk are slow on little ones
RANGE_CHUNKS = 64  # a range is read about 1 MiB at a time

_STREAMS = b"habeas streams v1"
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def seal_stream(key: bytes, chunks: Iterable[bytes], *, context: bytes) -> Iterator[bytes]:
    """Seal the joined `chunks`, of any sizes, and yield what to store; memory is bounded by the largest of them."""
    check_key(key)
    cipher = Cobblestone256Encryptor(key, _STREAMS + context)  # draws a new salt: one object for one stream
    yield VERSION
    for piece in _pieces(chunks):
        if sealed := cipher.update(piece):
            yield sealed
    yield cipher.finalize()


def unseal_stream(key: bytes, chunks: Iterable[bytes], *, context: bytes) -> Iterator[bytes]:
    """Open what `seal_stream` made; raises DecryptionError for anything else.

    Each piece is authentic when it comes, but only the end of the iteration says that nothing is missing: an error
    can still follow, and then what was received so far is a part and must not be taken for the whole.
    """
    check_key(key)
    cipher = Cobblestone256Decryptor(key, _STREAMS + context)
    pieces = _pieces(chunks)
    first = next(pieces, b"")
    if first[:1] != VERSION:
        raise DecryptionError("not a sealed stream")
    try:
        if plain := cipher.update(first[1:]):
            yield plain
        for piece in pieces:
            if plain := cipher.update(piece):
                yield plain
        yield cipher.finalize()
    except InvalidTag:
        raise DecryptionError("does not authenticate") from None


def sealed_size(plain_size: int) -> int:
    """Return how many bytes `seal_stream` makes of `plain_size` bytes."""
    return HEADER_SIZE + plain_size + TAG_SIZE * (plain_size // CHUNK_SIZE + 1)


def plain_size(sealed: int) -> int:
    """Return how many bytes are in a sealed stream of `sealed` bytes; DecryptionError if none can have that size."""
    full, rest = divmod(sealed - HEADER_SIZE, SEALED_CHUNK_SIZE)
    if full < 0 or rest < TAG_SIZE:
        raise DecryptionError("not the size of a sealed stream")
    return full * CHUNK_SIZE + rest - TAG_SIZE


def read_range(
    key: bytes, read: Callable[[int, int], bytes], *, context: bytes, sealed_size: int, start: int, stop: int
) -> Iterator[bytes]:
    """Yield the plain bytes from `start` to before `stop`, reading only the header and the chunks that hold them.

    `read(offset, length)` returns that part of the sealed stream, whole. A `stop` beyond the end means the end. What
    comes is authentic; that the stream ends where `sealed_size` says is proven only when the range takes in its end,
    so the size must come from a place that can be trusted.
    """
    start, stop = max(start, 0), min(stop, plain_size(sealed_size))
    if start >= stop:
        return
    chunks = _Chunks(key, read(0, HEADER_SIZE), context)
    end = (stop - 1) // CHUNK_SIZE + 1
    for first in range(start // CHUNK_SIZE, end, RANGE_CHUNKS):
        offset = HEADER_SIZE + first * SEALED_CHUNK_SIZE
        length = min(min(end - first, RANGE_CHUNKS) * SEALED_CHUNK_SIZE, sealed_size - offset)
        sealed = read(offset, length)
        if len(sealed) != length:
            raise DecryptionError("cut short")
        base = first * CHUNK_SIZE
        yield chunks.unseal(first, sealed)[max(start - base, 0) : stop - base]


class _Chunks:
    """Opens single chunks of one stream by their numbers (chunked-encryption, "AEAD usage")."""

    def __init__(self, key: bytes, header: bytes, context: bytes) -> None:
        check_key(key)
        salt, commitment = header[1 : 1 + SALT_SIZE], header[1 + SALT_SIZE :]
        size = KEY_SIZE + NONCE_SIZE + COMMITMENT_SIZE
        secrets = HKDFExpand(algorithm=SHA512(), length=size, info=_LABEL + salt + _STREAMS + context).derive(key)
        if header[:1] != VERSION or not hmac.compare_digest(secrets[KEY_SIZE + NONCE_SIZE :], commitment):
            raise DecryptionError("does not authenticate")
        self._cipher = AESGCM(secrets[:KEY_SIZE])
        self._nonce = int.from_bytes(secrets[KEY_SIZE : KEY_SIZE + NONCE_SIZE], "big")

    def unseal(self, first: int, sealed: bytes) -> bytes:
        """Open consecutive chunks, of which the first one has the number `first`."""
        places = range(0, len(sealed), SEALED_CHUNK_SIZE)
        try:
            return b"".join(
                self._cipher.decrypt(self._nonce_of(number), sealed[place : place + SEALED_CHUNK_SIZE], None)
                for number, place in enumerate(places, first)
            )
        except InvalidTag:
            raise DecryptionError("does not authenticate") from None

    def _nonce_of(self, number: int) -> bytes:
        return (self._nonce ^ number).to_bytes(NONCE_SIZE, "big")


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks into pieces of at least PIECE_SIZE; larger ones pass as they are."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE_SIZE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)
