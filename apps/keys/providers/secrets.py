"""For providers over a network: each epoch has a secret of 32 bytes, and the provider's own key seals that.

So one call opens an epoch, whatever the number of keys under it; and when the provider's key is destroyed, the secret is
lost wherever a copy of it lies, and every key that was wrapped under it. The secret is kept in memory for a minute, no
longer than a batch of work may keep a key; what was destroyed is a tombstone in the keys database and asks nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from apps.sealing.aead import unwrap_key, wrap_key

SECONDS = 60.0

_lock = threading.Lock()
_recent: dict[str, tuple[bytes, float]] = {}


def secret_of(reference: str, fetch: Callable[[], bytes]) -> bytes:
    """Return the secret of an epoch: fetched now, or less than a minute ago."""
    now = time.monotonic()
    with _lock:
        for name in [name for name, (_, until) in _recent.items() if until <= now]:
            del _recent[name]
        found = _recent.get(reference)
    if found is not None:
        return found[0]
    secret = fetch()
    with _lock:
        _recent[reference] = secret, now + SECONDS
    return secret


def forget(reference: str) -> None:
    with _lock:
        _recent.pop(reference, None)


def forget_all() -> None:
    with _lock:
        _recent.clear()


def wrap_all(secret: bytes, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [wrap_key(secret, key, context=context) for key, context in items]


def unwrap_all(secret: bytes, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [unwrap_key(secret, wrapped, context=context) for wrapped, context in items]
