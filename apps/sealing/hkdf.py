"""HKDF (RFC 5869): independent keys from one key, each for a purpose of its own."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.sealing.errors import BadKey

KEY_SIZE = 32
_SHA256 = SHA256()


def check_key(key: bytes) -> None:
    """Refuse anything but 32 bytes."""
    if len(key) != KEY_SIZE:
        raise BadKey(f"a key has {KEY_SIZE} bytes, this one {len(key)}")


def derive(key: bytes, *, info: bytes, length: int = KEY_SIZE) -> bytes:
    """Return `length` bytes (≤ 8,160) for the purpose `info`: HKDF with SHA-256 and without a salt."""
    return HKDF(algorithm=_SHA256, length=length, salt=None, info=info).derive(key)
