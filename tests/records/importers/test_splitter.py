"""Finding where values begin and end, however the bytes arrive."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from apps.records.importers import splitter
from apps.records.importers.parsing import parse_if_whole
from apps.records.importers.splitter import Splitter

VALUES: list[Any] = [
    {"title": "a", "text": 'quote " backslash \\ bracket ] } [ {'},
    {"title": "b", "nested": {"list": [1, [2, {"x": '}, {"title": '}]]}},
    {"title": "c", "inner": [{"title": "d"}, {"title": "e"}]},
    {"title": "\\", "end": '\\\\"'},
    {"title": "汉字", "empty": [{}, [], ""]},
]


def split(data: bytes, *, level: int = 1, guess: bool = True, **more: Any) -> list[Any]:
    parse = parse_if_whole if guess else None
    return list(Splitter(io.BytesIO(data).read, level=level, parse=parse, **more))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n\n", " :\t")])
@pytest.mark.parametrize("guess", [True, False])
def test_values_are_found_whatever_the_size_of_a_read(
    monkeypatch: Any, chunk: int, separators: tuple[str, str], guess: bool
) -> None:
    monkeypatch.setattr(splitter, "CHUNK_BYTES", chunk)
    data = json.dumps(VALUES * 3, ensure_ascii=False, separators=separators).encode()
    spans = split(data, guess=guess)
    assert [json.loads(span.raw) for span in spans] == VALUES * 3
    assert [data[span.offset : span.offset + span.length] for span in spans] == [span.raw for span in spans]
    if chunk == 100_000:
        assert any(span.value is not None for span in spans) is guess


def test_values_one_after_another_are_found() -> None:
    data = b"\n".join(json.dumps(value, indent=1).encode() for value in VALUES)
    assert [json.loads(span.raw) for span in split(data, level=0)] == VALUES


def test_what_is_too_large_is_passed_over_in_bounded_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(splitter, "CHUNK_BYTES", 1_000)
    large = {"title": "large", "text": "x" * 50_000, "list": list(range(20_000))}
    data = json.dumps([VALUES[0], large, VALUES[1]]).encode()
    found = Splitter(io.BytesIO(data).read, level=1, max_bytes=10_000)
    spans = []
    for span in found:
        spans.append(span)
        assert len(found._buffer) < 30_000
    assert [span.problem for span in spans] == ["", "large", ""]
    assert spans[1].length == len(json.dumps(large))


def test_a_string_without_an_end_does_not_fill_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(splitter, "CHUNK_BYTES", 1_000)
    found = Splitter(io.BytesIO(b'[{"a": "' + b"x" * 200_000).read, level=1, max_bytes=10_000)
    assert [span.problem for span in found] == ["cut off"]
    assert len(found._buffer) < 30_000


def test_after_a_lost_bracket_reading_goes_on_at_the_next_conversation(monkeypatch: Any) -> None:
    monkeypatch.setattr(splitter, "CHUNK_BYTES", 1_000)
    many = [{"title": str(number), "text": "x" * 500} for number in range(100)]
    data = json.dumps(many).replace('"title": "5"', '"title": {"5"').encode()
    found = Splitter(io.BytesIO(data).read, level=1, max_bytes=10_000, parse=parse_if_whole)
    titles, problems = [], []
    for span in found:
        assert len(found._buffer) < 30_000
        if span.problem:
            problems.append(span.problem)
            found.resync(re.compile(rb'\}, (?=\{"title")'))
        else:
            titles.append(json.loads(span.raw)["title"])
    assert titles == [str(number) for number in range(100) if number != 5]
    assert problems == ["large"]


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"[1, 2, 3]", ["junk"]),
        (b'[1, {"a": 1}, "x", {"a": 2}]', ["junk", "", "junk", ""]),
        (b'[{"a": 1}, {"b": [1, 2', ["", "cut off"]),
        (b'{"a": 1}]}]{"b": 1}', ["", ""]),
        (b"[" * 50, ["cut off"]),
        (b"[" * 2_000, ["deep"]),
        (b'"' * 999, ["junk"]),
        (b"", []),
    ],
)
def test_what_is_no_value_is_named(data: bytes, problems: list[str]) -> None:
    assert [span.problem for span in split(data)] == problems
