"""Ed25519 and random tokens, with the vectors of RFC 8032 §7.1."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.sealing import signatures
from apps.sealing.errors import BadKey
from tests.sealing.strategies import changed_bytes

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/sealing/rfc8032-ed25519.json").read_text())
SEED = b"s" * 32


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signatures_are_those_of_rfc_8032(vector):
    seed, message = bytes.fromhex(vector["seed"]), bytes.fromhex(vector["message"])
    key = signatures.SigningKey.from_seed(seed)
    assert key.public.hex() == vector["public"]
    assert key.sign(message).hex() == vector["signature"]
    assert signatures.verify(key.public, message, bytes.fromhex(vector["signature"]))


@given(data=st.data())
def test_a_changed_message_signature_or_key_is_a_no(data):
    key = signatures.SigningKey.from_seed(base64.b64encode(SEED).decode())
    good = [key.public, b"a message", key.sign(b"a message")]
    assert signatures.verify(*good)
    place = data.draw(st.integers(0, 2))
    bad = [*good]
    bad[place] = data.draw(changed_bytes(good[place]))
    assert not signatures.verify(*bad)


SEED_WITH_MORE = "!" + base64.b64encode(b"x" * 32).decode()  # a decoder that is not strict passes over it


@pytest.mark.parametrize(
    "seed", ["", "not base64!", "é", base64.b64encode(b"x" * 31).decode(), b"x" * 33, b"", SEED_WITH_MORE]
)
def test_a_seed_of_another_shape_is_refused(seed):
    with pytest.raises(BadKey):
        signatures.SigningKey.from_seed(seed)


def test_tokens_are_long_and_never_the_same():
    tokens = {signatures.random_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {26}
    assert set("".join(tokens)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert len(signatures.random_token(20)) == 32
