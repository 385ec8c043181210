"""What the property tests of sealing draw from."""

from __future__ import annotations

from hypothesis import strategies as st

keys = st.binary(min_size=32, max_size=32)
contexts = st.binary(max_size=40)
parts = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), st.integers(), st.uuids())
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def changed_bytes(sealed: bytes) -> st.SearchStrategy[bytes]:
    """Draw what an attacker or a bad disk makes of a sealed value: a flipped byte, a cut, an addition."""
    flips = st.tuples(st.integers(0, len(sealed) - 1), st.integers(1, 255)).map(
        lambda flip: sealed[: flip[0]] + bytes([sealed[flip[0]] ^ flip[1]]) + sealed[flip[0] + 1 :]
    )
    cuts = st.integers(0, len(sealed) - 1).map(lambda size: sealed[:size])
    heads_lost = st.integers(1, len(sealed)).map(lambda size: sealed[size:])
    additions = st.binary(min_size=1, max_size=40).map(lambda more: sealed + more)
    return flips | cuts | heads_lost | additions
