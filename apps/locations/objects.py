"""What stores of objects have in common: their objects as files of an archive, in pieces and wherever it was cut off."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol, TypeVar

import orjson
from django.utils.translation import gettext, ngettext

from apps.locations.contract import Entry, Identity, Item
from apps.locations.cursors import ANEW, BYTES_DONE, END, TORN, Cursor
from apps.locations.errors import Refused
from apps.locations.paths import generated_name
from apps.locations.said import said as _

T = TypeVar("T")
PIECE_SIZE = 32 * 1024 * 1024  # a large object crosses batches in pieces
CHUNK_SIZE = 256 * 1024
INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
ANY_TYPE = "application/octet-stream"
MOST_EMPTY_PAGES = 10_000  # in a row: large stores skip what was deleted


@dataclass(frozen=True)
class Stored:
    """A current object, as a listing tells of it. `mark` changes with its bytes (ETag, generation)."""

    key: str
    size: int
    modified: datetime | None
    mark: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    media_type: str
    chunks: Iterable[bytes]


class Store(Protocol):
    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        """Yield the person's current objects in the order of their keys, those after `after`."""
        ...

    def look(self, key: str) -> Stored | None:
        """Return one object as it is now; None when it is gone."""
        ...

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        """Open a part of an object, of that very mark (else Unavailable); None when it is gone."""
        ...


class PagesSeen:
    """The pages of a listing, so that one which comes again ends it: a server could keep us listing for ever."""

    def __init__(self) -> None:
        self._marks: set[int] = set()
        self._empty = 0

    def add(self, names: Sequence[Hashable]) -> None:
        """Note a page by the names on it; raises Refused when it was there already, or too many in a row had none."""
        if not self.is_new(names):
            raise Refused(_("The server lists the same again and again. Whoever runs it has to look."))

    def is_new(self, names: Sequence[Hashable]) -> bool:
        """Note a page, and say whether it was not there before."""
        self._empty = 0 if names else self._empty + 1
        if not names:
            return self._empty <= MOST_EMPTY_PAGES
        before = len(self._marks)
        self._marks.add(hash((len(names), names[0], names[-1])))
        return len(self._marks) > before


def in_batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield what is found in lists of at most `size`."""
    rest = iter(found)
    while batch := list(islice(rest, size)):
        yield batch


def rules_in_words(number: int) -> str:
    """Say how many rules a lifecycle has."""
    return ngettext("%(number)d rule", "%(number)d rules", number) % {"number": number} if number else gettext("none")


def items(store: Store, who: Identity) -> Iterator[Item]:
    """Yield what `find` yields."""
    for stored in store.current(who, ""):
        yield Item(stored.key, "object", stored.size, stored.modified)


def entries(store: Store, who: Identity, cursor: str) -> Iterator[Entry]:
    """Yield each current object and a line of index.jsonl with its key."""
    at = Cursor.read(cursor)
    if at.path == END:
        return
    number = at.number
    if at.offset:
        number = yield from _resumed(store, at)
    for stored in store.current(who, at.path):
        number += 1
        yield from _pieces(store, stored, number, 0)
    if number:
        yield Entry(INDEX_NAME, INDEX_TYPE, [], Cursor(number, END, 0).text, part="last", count=0)


def _resumed(store: Store, at: Cursor) -> Generator[Entry, None, int]:
    """Go on in the middle of an object, and return its number. One that changed meanwhile is ended and begun again."""
    stored = store.look(at.path)
    if at.offset == BYTES_DONE:
        yield _index(at.number, at.path, {"file": generated_name(at.number, at.path)} | _about(stored))
    elif at.offset == ANEW:
        if stored is not None:
            yield from _pieces(store, stored, at.number + 1, 0)
            return at.number + 1
    elif at.offset > 0 and stored is not None and stored.mark == at.mark:
        yield from _pieces(store, stored, at.number, at.offset)
    else:
        if at.offset > 0:
            yield _torn(at.number, at.path)
        return (yield from _after_a_torn_one(store, stored, at))
    return at.number


def _torn(number: int, key: str) -> Entry:
    """End a file of which the rest cannot be had."""
    return Entry(generated_name(number, key), ANY_TYPE, [], Cursor(number, key, TORN).text, part="last", count=0)


def _after_a_torn_one(store: Store, stored: Stored | None, at: Cursor) -> Generator[Entry, None, int]:
    """Say in the index that a file is not whole; then read the object as it is now, under a number of its own."""
    name = generated_name(at.number, at.path)
    if stored is None:
        yield _index(at.number, at.path, {"file": name, "gone": True})
        return at.number
    written = orjson.dumps({"name": at.path, "file": name, "changed": True}, option=orjson.OPT_APPEND_NEWLINE)
    yield Entry(INDEX_NAME, INDEX_TYPE, [written], Cursor(at.number, at.path, ANEW).text, part="piece", count=0)
    yield from _pieces(store, stored, at.number + 1, 0)
    return at.number + 1


def _pieces(store: Store, stored: Stored, number: int, start: int) -> Iterator[Entry]:
    """Yield an object from `start` on, then its line in the index; one that is gone is said to be gone."""
    name = generated_name(number, stored.key)
    while True:
        stop = min(start + PIECE_SIZE, stored.size)
        is_last = stop >= stored.size
        opened = store.read(stored, start, stop)
        if opened is None:
            if start:
                yield _torn(number, stored.key)
            line: dict[str, Any] = {"file": name, "gone": True} if start else {"gone": True}
            yield _index(number, stored.key, line)
            return
        part = ("whole" if start == 0 else "last") if is_last else "piece"
        at = Cursor(number, stored.key, BYTES_DONE if is_last else stop, stored.mark)
        yield Entry(name, opened.media_type[:100] or ANY_TYPE, opened.chunks, at.text, part=part, count=0)
        if is_last:
            break
        start = stop
    yield _index(number, stored.key, {"file": name} | _about(stored))


def _about(stored: Stored | None) -> dict[str, Any]:
    if stored is None:
        return {}
    modified = {"modified": stored.modified.astimezone(UTC).isoformat()} if stored.modified else {}
    return {"size": stored.size} | modified | ({"labels": dict(stored.labels)} if stored.labels else {})


def _index(number: int, key: str, line: dict[str, Any]) -> Entry:
    written = orjson.dumps({"name": key} | line, option=orjson.OPT_APPEND_NEWLINE)
    return Entry(INDEX_NAME, INDEX_TYPE, [written], Cursor(number, key, 0).text, part="piece", count=1)
