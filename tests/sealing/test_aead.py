"""Single values, wrapped keys, and the names of their places."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.sealing import aead
from apps.sealing.errors import BadKey, DecryptionError
from tests.sealing.strategies import changed_bytes, contexts, keys, parts

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@given(key=keys, plaintext=st.binary(max_size=2000), context=contexts)
def test_a_sealed_value_opens_in_its_place_and_says_nothing_outside(key, plaintext, context):
    sealed = aead.seal(key, plaintext, context=context)
    assert aead.unseal(key, sealed, context=context) == plaintext
    assert aead.unseal(key, memoryview(sealed), context=context) == plaintext
    assert len(sealed) == len(plaintext) + 29
    assert len(plaintext) < 4 or plaintext not in sealed


@given(data=st.data(), plaintext=st.binary(max_size=50))
def test_a_changed_value_is_refused(data, plaintext):
    sealed = aead.seal(KEY, plaintext, context=b"here")
    changed = data.draw(changed_bytes(sealed))
    assert aead.unseal(KEY, sealed, context=b"here") == plaintext
    with pytest.raises(DecryptionError):
        aead.unseal(KEY, changed, context=b"here")


@given(first=st.tuples(keys, contexts), second=st.tuples(keys, contexts))
def test_two_values_cannot_be_swapped(first, second):
    assume(first != second)
    sealed = aead.seal(first[0], b"of the first", context=first[1])
    assert aead.unseal(first[0], sealed, context=first[1]) == b"of the first"
    with pytest.raises(DecryptionError):
        aead.unseal(second[0], sealed, context=second[1])


@given(sealed=st.binary(max_size=200))
def test_what_was_never_sealed_is_refused_with_the_same_error(sealed):
    with pytest.raises(DecryptionError):
        aead.unseal(KEY, sealed, context=b"")
    with pytest.raises(DecryptionError):
        aead.unwrap_key(KEY, sealed, context=b"")


def test_sealing_twice_gives_different_bytes():
    box = aead.Box(KEY)
    assert len({box.seal(b"same", context=b"") for _ in range(1000)}) == 1000


@given(key=keys, inner=keys, context=contexts)
def test_a_wrapped_key_opens_in_its_place(key, inner, context):
    wrapped = aead.wrap_key(key, inner, context=context)
    assert aead.unwrap_key(key, wrapped, context=context) == inner
    assert aead.unwrap_key(key, memoryview(wrapped), context=context) == inner
    assert len(wrapped) == aead.WRAPPED_SIZE == 105


@given(data=st.data())
def test_a_changed_wrap_is_refused(data):
    wrapped = aead.wrap_key(KEY, b"i" * 32, context=b"id")
    assert aead.unwrap_key(KEY, wrapped, context=b"id") == b"i" * 32
    with pytest.raises(DecryptionError):
        aead.unwrap_key(KEY, data.draw(changed_bytes(wrapped)), context=b"id")


def test_a_wrap_opens_under_no_other_key_and_in_no_other_place():
    wrapped = aead.wrap_key(KEY, b"i" * 32, context=b"id")
    for key, context in ((OTHER_KEY, b"id"), (KEY, b"other id")):
        with pytest.raises(DecryptionError):
            aead.unwrap_key(key, wrapped, context=context)


@given(first=st.lists(parts, max_size=5), second=st.lists(parts, max_size=5))
def test_different_places_have_different_names(first, second):
    same = [(type(part), part) for part in first] == [(type(part), part) for part in second]
    assert (aead.associated_data(*first) == aead.associated_data(*second)) is same


@pytest.mark.slow
@given(first=st.lists(parts, max_size=5), second=st.lists(parts, max_size=5))
def test_a_name_can_be_put_together_from_its_beginning_and_its_end(first, second):
    assert aead.associated_data(*first) + aead.associated_data(*second) == aead.associated_data(*first, *second)


def test_the_name_of_a_place_is_fixed():
    place = aead.associated_data("message", uuid.UUID(int=7), 12, b"\x00")
    assert place == (
        b"s\x00\x00\x00\x07message"
        + b"u\x00\x00\x00\x10"
        + bytes(15)
        + b"\x07"
        + b"i\x00\x00\x00\x0212"
        + b"b\x00\x00\x00\x01\x00"
    )


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_a_fault_of_the_caller(size):
    short = b"x" * size
    with pytest.raises(BadKey):
        aead.Box(short)
    with pytest.raises(BadKey):
        aead.wrap_key(short, KEY, context=b"")
    with pytest.raises(BadKey):
        aead.wrap_key(KEY, short, context=b"")
    with pytest.raises(BadKey):
        aead.unwrap_key(short, b"", context=b"")
    assert len(aead.new_key()) == 32


def test_new_keys_differ():
    assert len({aead.new_key() for _ in range(1000)}) == 1000
