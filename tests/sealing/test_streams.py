"""Sealed streams: whole, in ranges, damaged, and against the text of the specification."""

from __future__ import annotations

import hashlib
import hmac
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sealing import streams
from apps.sealing.errors import BadKey, DecryptionError
from tests.sealing.strategies import changed_bytes

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CHUNK, SEALED_CHUNK, HEADER = streams.CHUNK_SIZE, streams.SEALED_CHUNK_SIZE, streams.HEADER_SIZE
EDGES = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    3 * CHUNK + 5,
    streams.PIECE_SIZE,
    streams.PIECE_SIZE + 5,
    70 * CHUNK + 3,
]


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for place in range(0, len(data), size):
        yield data[place : place + size]


def sealed(plain: bytes, context: bytes = b"file 1") -> bytes:
    return b"".join(streams.seal_stream(KEY, [plain], context=context))


def unsealed(data: bytes, context: bytes = b"file 1", key: bytes = KEY) -> bytes:
    return b"".join(streams.unseal_stream(key, [data], context=context))


def ranged(data: bytes, start: int, stop: int, key: bytes = KEY, context: bytes = b"file 1") -> bytes:
    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    return b"".join(streams.read_range(key, read, context=context, sealed_size=len(data), start=start, stop=stop))


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("piece", [7919, CHUNK, 10**7])
def test_a_stream_opens_again_however_it_is_cut(size, piece):
    plain = content(size)
    data = b"".join(streams.seal_stream(KEY, pieces(plain, piece), context=b"c"))
    assert b"".join(streams.unseal_stream(KEY, pieces(data, piece), context=b"c")) == plain
    assert len(data) == streams.sealed_size(size)
    assert streams.plain_size(len(data)) == size


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (6, 5), (9, 12)])
def test_for_an_empty_range_nothing_is_read(start, stop):
    def read(offset: int, length: int) -> bytes:
        raise AssertionError

    size = len(sealed(b"nine long"))
    assert list(streams.read_range(KEY, read, context=b"file 1", sealed_size=size, start=start, stop=stop)) == []


def test_empty_pieces_change_nothing():
    data = b"".join(streams.seal_stream(KEY, [b"", b"a", b"", b"b", b""], context=b""))
    assert b"".join(streams.unseal_stream(KEY, [b"", data[:1], b"", data[1:], b""], context=b"")) == b"ab"


def test_memory_stays_small_whatever_the_size():
    piece = bytes(CHUNK)
    tracemalloc.start()
    total = 0
    for part in streams.unseal_stream(
        KEY, streams.seal_stream(KEY, (piece for _ in range(4096)), context=b""), context=b""
    ):
        total += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 64 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("size", [0, 5, CHUNK, 2 * CHUNK + 100])
@given(data=st.data())
@settings(max_examples=60)
def test_a_changed_stream_is_refused(size, data):
    good = sealed(content(size))
    bad = data.draw(changed_bytes(good))
    assert unsealed(good) == content(size)
    with pytest.raises(DecryptionError):
        unsealed(bad)


def chunks_of(data: bytes) -> list[bytes]:
    return list(pieces(data[HEADER:], SEALED_CHUNK))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("reordered", lambda parts: [parts[1], parts[0], *parts[2:]]),
        ("first one missing", lambda parts: parts[1:]),
        ("middle one missing", lambda parts: [parts[0], *parts[2:]]),
        ("last one missing", lambda parts: parts[:-1]),
        ("one twice", lambda parts: [parts[0], *parts]),
        ("last one twice", lambda parts: [*parts, parts[-1]]),
        ("none left", lambda parts: []),
    ],
)
def test_chunks_cannot_be_moved(name, change):
    good = sealed(content(3 * CHUNK + 10))
    assert unsealed(good[:HEADER] + b"".join(chunks_of(good))) == content(3 * CHUNK + 10)
    with pytest.raises(DecryptionError):
        unsealed(good[:HEADER] + b"".join(change(chunks_of(good))))


@given(order=st.permutations(range(5)))
def test_only_the_order_in_which_they_were_sealed_opens(order):
    good = sealed(content(4 * CHUNK + 10))
    parts = chunks_of(good)
    moved = good[:HEADER] + b"".join(parts[place] for place in order)
    if order == sorted(order):
        assert unsealed(moved) == content(4 * CHUNK + 10)
    else:
        with pytest.raises(DecryptionError):
            unsealed(moved)


def test_chunks_and_headers_of_two_streams_cannot_be_mixed():
    one, two = sealed(content(CHUNK + 1)), sealed(content(CHUNK + 1))
    assert unsealed(one) == unsealed(two)
    for mixed in (one[:HEADER] + two[HEADER:], one[:-17] + two[-17:], one[: HEADER + SEALED_CHUNK] + two[-17:]):
        with pytest.raises(DecryptionError):
            unsealed(mixed)


def test_a_stream_opens_under_no_other_key_and_in_no_other_place():
    good = sealed(b"text")
    assert unsealed(good) == ranged(good, 0, 4) == b"text"
    for key, context in ((OTHER_KEY, b"file 1"), (KEY, b"file 2")):
        with pytest.raises(DecryptionError):
            unsealed(good, context, key)
        with pytest.raises(DecryptionError):
            ranged(good, 0, 4, key, context)


@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK + 5, 70 * CHUNK + 3])
@given(data=st.data())
@settings(max_examples=40)
def test_a_range_is_that_part_of_the_whole(size, data):
    plain = content(size)
    good = sealed(plain)
    start = data.draw(st.integers(0, size + 5))
    stop = data.draw(st.integers(0, size + 5))
    assert ranged(good, start, stop) == plain[start:stop]


def test_a_range_reads_only_the_chunks_that_hold_it():
    plain = content(10 * CHUNK + 5)
    data = sealed(plain)
    asked: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return data[offset : offset + length]

    got = b"".join(
        streams.read_range(KEY, read, context=b"file 1", sealed_size=len(data), start=CHUNK + 1, stop=3 * CHUNK)
    )
    assert got == plain[CHUNK + 1 : 3 * CHUNK]
    assert asked == [(0, HEADER), (HEADER + SEALED_CHUNK, 2 * SEALED_CHUNK)]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_range_ends_where_it_is_wanted_in_whatever_chunk_that_is(batch, monkeypatch):
    monkeypatch.setattr(streams, "RANGE_CHUNKS", batch)
    plain = content(4 * CHUNK + 5)
    data = sealed(plain)
    for start, stop in (
        (CHUNK + 7, CHUNK + 9),
        (5, 2 * CHUNK + 9),
        (3 * CHUNK + 1, 4 * CHUNK + 2),
        (2 * CHUNK, 3 * CHUNK),
    ):
        assert ranged(data, start, stop) == plain[start:stop]


def test_a_range_of_a_damaged_stream_is_refused():
    good = sealed(content(3 * CHUNK))
    place = HEADER + SEALED_CHUNK + 100
    bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    assert ranged(bad, 0, CHUNK) == content(3 * CHUNK)[:CHUNK]  # another chunk is still good
    with pytest.raises(DecryptionError):
        ranged(bad, CHUNK, CHUNK + 1)
    with pytest.raises(DecryptionError):
        ranged(b"\x02" + good[1:], 0, 1)
    with pytest.raises(DecryptionError, match="cut short"):
        list(
            streams.read_range(
                KEY, lambda o, n: good[:1000][o : o + n], context=b"file 1", sealed_size=len(good), start=0, stop=9
            )
        )


@pytest.mark.parametrize("size", [0, HEADER, HEADER + 15, HEADER + SEALED_CHUNK, HEADER + SEALED_CHUNK + 15])
def test_sizes_that_no_stream_has_are_refused(size):
    with pytest.raises(DecryptionError):
        streams.plain_size(size)


@given(size=st.integers(0, 2**40))
def test_sizes_follow_from_each_other(size):
    assert streams.plain_size(streams.sealed_size(size)) == size


@pytest.mark.parametrize("size", [0, 16, 33])
def test_a_key_of_another_size_is_a_fault_of_the_caller(size):
    with pytest.raises(BadKey):
        list(streams.seal_stream(b"x" * size, [], context=b""))
    with pytest.raises(BadKey):
        list(streams.unseal_stream(b"x" * size, [], context=b""))
    with pytest.raises(BadKey):
        ranged(sealed(b"x"), 0, 1, key=b"x" * size)


@pytest.mark.parametrize("size", [0, 100, CHUNK, 2 * CHUNK + 9])
def test_the_format_is_c2sp_chunked_encryption(size):
    """Opened with nothing but the words of c2sp.org/chunked-encryption: HMAC-SHA-512 and AES-256-GCM."""
    data = sealed(content(size), context=b"ctx")
    assert data[:1] == b"\x01"
    salt, commitment = data[1:25], data[25:57]
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + b"habeas streams v1" + b"ctx"
    first = hmac.digest(KEY, info + b"\x01", hashlib.sha512)
    secrets = first + hmac.digest(KEY, first + info + b"\x02", hashlib.sha512)
    assert commitment == secrets[44:76]
    plain = b""
    for number, chunk in enumerate([*chunks_of(data)]):
        nonce = (int.from_bytes(secrets[32:44], "big") ^ number).to_bytes(12, "big")
        plain += AESGCM(secrets[:32]).decrypt(nonce, chunk, None)
    assert plain == content(size)
