"""Blind indexes: find a row by an exact value without storing the value.

HMAC-SHA-256 (RFC 2104) with a key of its own for each field. It shows which rows are equal and nothing else to anyone
without the key; whoever has the key can try guesses, which is why it is deleted with the person.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from apps.sealing.aead import associated_data


def normalise(value: str) -> str:
    """Return the form under which spellings of one value are equal: NFKC, case folded, without blanks around."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return unicodedata.normalize("NFKC", folded).strip()  # folding can undo the normal form (UAX #15, Unicode §3.13)


def index(key: bytes, kind: str, value: str, *, exact: bool = False) -> bytes:
    """Return the 32 bytes under which `value` is found; `exact` for ids in which upper and lower case differ."""
    text = value if exact else normalise(value)
    message = associated_data(kind, text.encode("utf-8", "surrogatepass"))
    return hmac.digest(key, message, hashlib.sha256)
