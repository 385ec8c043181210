"""What a requester holds in the hand: a reference that can be read out on the telephone, and a secret code."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # without 0 O, 1 I L, U (which reads as V): 30 symbols
REFERENCE_LENGTH = 8  # 6.5 × 10^11; unique by constraint, and no secret
CODE_GROUPS, CODE_GROUP = 6, 5  # 30 symbols of 4.9 bits: 147 bits, above the 128 that a code without a limit needs
_PURPOSE = b"habeas receipt code v1\x00"
_LINK = b"habeas intake link v1\x00"


def new_reference() -> str:
    """Return a reference such as HB-7Q4K-2M9X."""
    symbols = _random(REFERENCE_LENGTH)
    return f"HB-{symbols[:4]}-{symbols[4:]}"


def new_code() -> str:
    """Return a receipt code, shown once: six groups of five."""
    return "-".join(_random(CODE_GROUP) for _ in range(CODE_GROUPS))


def new_link_token() -> str:
    """Return the token of a single-use link: 256 bits, safe in an address."""
    return secrets.token_urlsafe(32)


def tidy_reference(text: str) -> str:
    """Return a reference as we write it, from however it was typed; what is none comes back so that nothing matches."""
    symbols = _symbols(text)
    if symbols.startswith("HB") and len(symbols) == REFERENCE_LENGTH + 2:
        symbols = symbols[2:]
    return f"HB-{symbols[:4]}-{symbols[4:]}"


def hash_code(code: str) -> bytes:
    """Return what is stored of a receipt code. It is random and long: a plain hash cannot be guessed back."""
    return hashlib.sha256(_PURPOSE + _symbols(code).encode()).digest()


def is_code(code: str, code_hash: bytes) -> bool:
    return hmac.compare_digest(hash_code(code), bytes(code_hash))


def hash_link_token(token: str) -> bytes:
    return hashlib.sha256(_LINK + token.encode("utf-8", "surrogatepass")).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _symbols(text: str) -> str:
    """Return the letters and digits alone: full-width forms, small letters, blanks and dashes make no difference."""
    plain = unicodedata.normalize("NFKC", text).upper()
    return "".join(symbol for symbol in plain if symbol in ALPHABET)
