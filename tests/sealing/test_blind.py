"""Blind indexes."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.sealing import blind

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.org", " ada@example.ORG\n"),
        ("ｂｅｎ＠example.org", "ben@example.org"),
        ("STRASSE@example.org", "straße@example.org"),
        ("Zoe\u0308", "zoë"),
    ],
)
def test_spellings_of_one_address_are_found_together(one, other):
    assert blind.index(KEY, "email", one) == blind.index(KEY, "email", other)
    assert blind.index(KEY, "email", one, exact=True) != blind.index(KEY, "email", other, exact=True)


def test_values_kinds_and_keys_are_kept_apart():
    indexes = {
        blind.index(key, kind, value)
        for key in (KEY, b"o" * 32)
        for kind in ("email", "user_id")
        for value in ("a", "b", "email", "")
    }
    assert len(indexes) == 16
    assert all(len(index) == 32 for index in indexes)


def test_an_index_is_an_hmac():
    message = b"s\x00\x00\x00\x05email" + b"b\x00\x00\x00\x01a"
    assert blind.index(KEY, "email", "A") == hmac.digest(KEY, message, hashlib.sha256)


@given(value=st.text(st.characters(codec=None)))
def test_any_text_has_an_index_and_one_normal_form(value):
    assert len(blind.index(KEY, "email", value)) == 32
    assert blind.normalise(blind.normalise(value)) == blind.normalise(value)
