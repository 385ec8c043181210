"""Ed25519 signatures (RFC 8032) and random tokens."""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from apps.sealing.errors import BadKey

SEED_SIZE = 32


class SigningKey:
    """The private half, made from its 32-byte seed; `public` is the other half, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise BadKey(f"a signing key is a seed of {SEED_SIZE} bytes, this one has {len(seed)}")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: str | bytes) -> SigningKey:
        """Take the seed as it is, or as base64 text (the form of a setting)."""
        if isinstance(seed, bytes):
            return cls(seed)
        try:
            return cls(base64.b64decode(seed, validate=True))
        except (binascii.Error, ValueError):
            raise BadKey("a signing key is 32 bytes in base64") from None

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature; the same message always gives the same one."""
        return self._private.sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether the signature is that of this key for this message; a malformed key or signature is a no."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def random_token(nbytes: int = 16) -> str:
    """Return `nbytes` random bytes as base32 without padding (16 bytes: 26 characters, 128 bits)."""
    return base64.b32encode(os.urandom(nbytes)).decode().rstrip("=")
