"""Sealing of single values with AES-256-GCM, and wrapping of keys.

A sealed value is version (1 byte) || nonce (12) || ciphertext || tag (16). A nonce is random and must not repeat under a
key: two values under one nonce give away their difference and let anyone forge. With one key for each conversation the
number of values stays far below the 2^32 at which NIST SP 800-38D (§8.3) ends the use of random 96-bit nonces.

AES-GCM alone does not commit to its key: whoever knows two keys can make one ciphertext that opens under both. A wrapped
key therefore is one byte, the version, and a Cobblestone-256 message (see streams.py), which carries a commitment.
"""

from __future__ import annotations

import os
from uuid import UUID

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.sealing.errors import DecryptionError
from apps.sealing.hkdf import KEY_SIZE, check_key, derive

VERSION = b"\x01"
NONCE_SIZE = 12
TAG_SIZE = 16
HEADER_SIZE = len(VERSION) + NONCE_SIZE
WRAPPED_SIZE = len(VERSION) + 24 + 32 + KEY_SIZE + TAG_SIZE  # version, salt, commitment, key, tag

# One key seals values, wraps keys and seals streams: each of these works with what is derived from it under a label.
_VALUES = b"habeas values v1"
_KEYS = b"habeas keys v1"


def new_key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(KEY_SIZE)


def associated_data(*parts: str | bytes | int | UUID) -> bytes:
    """Return the name of a ciphertext's place: type, length and bytes of each part, so that no two lists look alike.

    It is a plain concatenation: `associated_data(a, b) + associated_data(c) == associated_data(a, b, c)`, so what is
    the same for many rows can be made once.
    """
    return b"".join([_part(part) for part in parts])


def _part(part: str | bytes | int | UUID) -> bytes:
    if isinstance(part, str):
        kind, raw = b"s", part.encode()
    elif isinstance(part, UUID):
        kind, raw = b"u", part.bytes
    elif isinstance(part, int):
        kind, raw = b"i", str(int(part)).encode()
    else:
        kind, raw = b"b", bytes(part)
    return kind + len(raw).to_bytes(4, "big") + raw


class Box:
    """Seals and opens many values under one key: the cipher is set up once."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        check_key(key)
        self._aead = AESGCM(derive(key, info=_VALUES))

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Seal a value for the one place that `context` names; 29 bytes longer than the value."""
        nonce = os.urandom(NONCE_SIZE)
        return VERSION + nonce + self._aead.encrypt(nonce, plaintext, VERSION + context)

    def unseal(self, sealed: bytes | memoryview, *, context: bytes) -> bytes:
        """Open what `seal` made; raises DecryptionError for a wrong key, a wrong context or changed bytes."""
        sealed = bytes(sealed)  # PostgreSQL's driver gives memoryviews
        if len(sealed) < HEADER_SIZE + TAG_SIZE or sealed[:1] != VERSION:
            raise DecryptionError("not a sealed value")
        try:
            return self._aead.decrypt(sealed[1:HEADER_SIZE], sealed[HEADER_SIZE:], VERSION + context)
        except InvalidTag:
            raise DecryptionError("does not authenticate") from None


def seal(key: bytes, plaintext: bytes, *, context: bytes) -> bytes:
    """Seal one value; for many under one key use `Box`."""
    return Box(key).seal(plaintext, context=context)


def unseal(key: bytes, sealed: bytes | memoryview, *, context: bytes) -> bytes:
    """Open what `seal` made; raises DecryptionError for a wrong key, a wrong context or changed bytes."""
    return Box(key).unseal(sealed, context=context)


def wrap_key(key: bytes, inner: bytes, *, context: bytes) -> bytes:
    """Seal the 32-byte key `inner` under `key`, committing to `key`; the result has 105 bytes."""
    check_key(key)
    check_key(inner)
    cipher = Cobblestone256Encryptor(key, _KEYS + context)
    return VERSION + cipher.update(inner) + cipher.finalize()


def unwrap_key(key: bytes, wrapped: bytes | memoryview, *, context: bytes) -> bytes:
    """Open what `wrap_key` made; raises DecryptionError for a wrong key, a wrong context or changed bytes."""
    check_key(key)
    wrapped = bytes(wrapped)
    if len(wrapped) != WRAPPED_SIZE or wrapped[:1] != VERSION:
        raise DecryptionError("not a wrapped key")
    cipher = Cobblestone256Decryptor(key, _KEYS + context)
    try:
        return cipher.update(wrapped[1:]) + cipher.finalize()
    except InvalidTag:
        raise DecryptionError("does not authenticate") from None
