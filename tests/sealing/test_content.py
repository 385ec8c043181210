"""JSON values packed and sealed, also those that orjson refuses."""

from __future__ import annotations

import contextlib
import datetime
import threading
import uuid
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from apps.sealing import content
from apps.sealing.aead import Box
from apps.sealing.errors import DecryptionError, UnpackableValue
from tests.sealing.strategies import changed_bytes, json_values

KEY = b"k" * 32


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.slow
@given(value=json_values)
def test_every_json_value_comes_back_as_it_was(value):
    assert content.unpack(content.pack(value)) == value
    assert content.unseal_json(KEY, content.seal_json(Box(KEY), value, context=b"x"), context=b"x") == value


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udfff": 1}, 2**64, -(2**63) - 1, [10**300], nested(300), {"a": nested(content.MAX_DEPTH - 1)}],
)
def test_what_orjson_refuses_comes_back_as_it_was(value):
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(value)
    assert content.unpack(content.pack(value)) == value


@pytest.mark.parametrize("depth", [content.MAX_DEPTH + 1, 5000, 100_000])
def test_absurd_nesting_is_refused(depth):
    with pytest.raises(UnpackableValue, match="deep"):
        content.pack(nested(depth))


@pytest.mark.parametrize("value", [{1, 2}, object(), {(1, 2): 3}, b"bytes", ["\ud800", {1}]])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(UnpackableValue):
        content.pack(value)


@pytest.mark.parametrize("also", ["plain", "\ud800"])
def test_dates_and_ids_become_text(also):
    day = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    value = {"day": day, "id": uuid.UUID(int=1), "also": also}
    expected = {"day": "2026-01-02T03:04:05+00:00", "id": str(uuid.UUID(int=1)), "also": also}
    assert content.unpack(content.pack(value)) == expected


def test_long_text_becomes_small():
    text = "Where did the night train to Vienna stop? 夜车停在哪里？" * 50
    assert len(content.pack(text)) < len(text.encode()) / 10


@given(packed=st.binary(max_size=200))
def test_bytes_that_were_never_packed_are_refused(packed):
    with pytest.raises(DecryptionError):
        content.unpack(packed)


@given(data=st.data())
def test_damaged_packs_are_refused_or_are_still_json(data):
    """Without its seal a pack has no checksum; it may be read as another value, but never fails in another way."""
    damaged = data.draw(changed_bytes(content.pack({"a": ["text", 1.5, None]})))
    with contextlib.suppress(DecryptionError):
        content.unpack(damaged)


def test_a_small_frame_that_claims_to_be_huge_is_refused(monkeypatch):
    bomb = content.pack("a" * 1_000_000)
    assert len(bomb) < 200
    assert content.unpack(bomb) == "a" * 1_000_000
    monkeypatch.setattr(content, "MAX_UNPACKED", 999_999)
    with pytest.raises(DecryptionError):
        content.unpack(bomb)


def test_a_frame_that_hides_its_size_is_refused():
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b'"a"')
    with pytest.raises(DecryptionError):
        content.unpack(b"\x01" + frame)


@pytest.mark.parametrize("form", [b"\x01", b"\x02"])
def test_a_frame_that_nests_too_deep_for_any_reader_is_refused(form):
    with pytest.raises(DecryptionError):
        content.unpack(form + zstandard.ZstdCompressor().compress(b"[" * 200_000 + b"]" * 200_000))


def test_two_threads_do_not_disturb_each_other():
    failures: list[object] = []

    def work(number: int) -> None:
        value = [f"thread {number}"] * 500
        for _ in range(200):
            if content.unpack(content.pack(value)) != value:
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_both_libraries_can_write_is_written_by_the_fast_one():
    assert content.pack({"a": [1, "é"]})[:1] == b"\x01"
    assert content.pack(2**70)[:1] == b"\x02"  # beyond 64 bits


def test_bytes_behind_packed_content_are_refused():
    packed = content.pack("words")
    assert content.unpack(packed) == "words"
    for more in (b"!", packed[1:]):
        with pytest.raises(DecryptionError):
            content.unpack(packed + more)
