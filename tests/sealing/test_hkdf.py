"""HKDF, with the vector of RFC 5869 that has no salt."""

from __future__ import annotations

import pytest

from apps.sealing import hkdf
from apps.sealing.errors import BadKey


def test_derivation_is_that_of_rfc_5869():
    """Appendix A.3: SHA-256, zero-length salt and info."""
    derived = hkdf.derive(b"\x0b" * 22, info=b"", length=42)
    assert derived.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def test_purposes_and_keys_are_kept_apart():
    derived = {hkdf.derive(key, info=info) for key in (b"a" * 32, b"b" * 32) for info in (b"", b"one", b"two")}
    assert len(derived) == 6
    assert {len(key) for key in derived} == {32}


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_only_32_bytes_are_a_key(size):
    hkdf.check_key(bytes(32))
    with pytest.raises(BadKey, match=f"this one {size}"):
        hkdf.check_key(bytes(size))
