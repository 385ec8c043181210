"""Go through JSON files twice: once to learn what is there, once to hand it over.

The first pass finds the place, format and id of every conversation, so that a file with nothing readable is refused at
once, progress can be shown, and a conversation whose parts lie in several files can be put together. Only places are
remembered, no content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from django.utils.translation import gettext as _

from .documents import Document, Value
from .errors import BadConversation, UnreadableFile
from .limits import MAX_CONVERSATIONS, MAX_DEPTH, MAX_MERGE_BYTES, MAX_SKIPPED, MAX_UNKNOWN
from .merging import merge
from .parsing import parse_json, too_deep
from .recognise import JSON_FORMATS, Format, format_of, unwrap
from .types import ParsedConversation, Skipped
from .values import as_dict, as_title

_DEPTH_OF_ORJSON = 254  # it writes no more levels


@dataclass(frozen=True, slots=True)
class Place:
    """Where one conversation stands. `index` counts inside a list of several that was read as one value, else -1."""

    offset: int
    length: int
    index: int
    number: int  # for people: the how-manieth value of the file
    format: Format
    key: int  # hash of the id
    is_deep: bool  # it may nest deeper than can be stored


@dataclass
class Contents:
    """What one file holds, in order."""

    document: Document
    found: list[Place | Skipped] = field(default_factory=list)
    recognised: int = 0
    values: int = 0
    unlisted: int = 0  # what could not be read, beyond the first MAX_SKIPPED


class Survey:
    """What a set of JSON files holds; raises UnreadableFile when there is far too much of it."""

    def __init__(self, documents: Iterable[Document], formats: Sequence[Format] = JSON_FORMATS) -> None:
        self.contents: list[Contents] = []
        self.formats = formats
        self.copies = 0  # conversations that stand in the files twice, to the byte
        self._seen: dict[int, int] = {}
        self._repeated: set[int] = set()  # ids of conversations whose parts lie apart
        self._skipped = 0
        self._is_full = False
        for document in documents:
            self._take(document)

    @property
    def total(self) -> int:
        return len(self._seen)

    @property
    def format_name(self) -> str:
        names = Counter(place.format.NAME for contents in self.contents for place in _places(contents))
        return names.most_common(1)[0][0] if names else ""

    def has_any(self) -> bool:
        """Whether at least one conversation can be read."""
        return any(isinstance(outcome, ParsedConversation) for outcome in self.outcomes())

    def outcomes(self) -> Iterator[ParsedConversation | Skipped]:
        """Every conversation, and everything that is not one; parts that lie apart are merged and come last."""
        for contents in self.contents:
            try:
                yield from self._single(contents)
            except UnreadableFile as error:  # damage that did not show the first time
                yield Skipped(contents.document.source.name, error.why)
        yield from self._merged()

    def _single(self, contents: Contents) -> Iterator[ParsedConversation | Skipped]:
        """What stands in one file alone."""
        values = self._values(contents, [p for p in _places(contents) if p.key not in self._repeated])
        for found in contents.found:
            if isinstance(found, Skipped):
                yield found
            elif found.key not in self._repeated:
                yield _parse(contents.document, found, next(values))

    def _take(self, document: Document) -> None:
        contents = Contents(document)
        self.contents.append(contents)
        try:
            contents.document = _whole_if_messages(document, self.formats)
            for number, value in enumerate(contents.document.values(), 1):
                contents.values = number
                self._add(contents, number, value)
                if self._is_full:
                    contents.found.append(
                        Skipped(document.source.name, _("There is too much in it: the rest was not read."))
                    )
                    break
        except UnreadableFile as error:  # damage inside a ZIP
            contents.found.append(Skipped(document.source.name, error.why))
        if contents.unlisted:
            why = _("%(count)s more pieces of it could not be read.") % {"count": f"{contents.unlisted:,}"}
            contents.found.append(Skipped(document.source.name, why))

    def _add(self, contents: Contents, number: int, value: Value) -> None:
        what = _what(contents.document, number, value.value)
        if value.problem:
            self._skip(contents, what, value.problem)
        elif found := format_of(value.value, self.formats):
            self._place(contents, number, value, -1, value.value, found)
        elif items := unwrap(value.value, self.formats):
            for index, item in enumerate(items):
                if found := format_of(item, self.formats):
                    self._place(contents, number, value, index, item, found)
                else:
                    self._skip(contents, _what(contents.document, index + 1, item), _unknown())
        elif not _is_empty(value.value):
            self._skip(contents, what, _unknown())

    def _skip(self, contents: Contents, what: str, why: str) -> None:
        self._skipped += 1
        self._is_full = self._is_full or self._skipped > MAX_UNKNOWN
        if self._skipped <= MAX_SKIPPED:
            contents.found.append(Skipped(what, why))
        else:
            contents.unlisted += 1

    def _place(self, contents: Contents, number: int, value: Value, index: int, item: Any, found: Format) -> None:
        content = _content_hash(item)
        try:
            key = _hash(f"{found.NAME}\0{found.identify(item)}".encode())
        except TypeError:  # without an id, and too deep to make one from its content
            self._skip(contents, _what(contents.document, number, item), too_deep())
            return
        contents.recognised += 1
        if content is not None and self._seen.get(key) == content:
            self.copies += 1
            return
        if key in self._seen:
            self._repeated.add(key)
        self._seen.setdefault(key, content or 0)
        number = index + 1 if index >= 0 else number
        contents.found.append(Place(value.offset, value.length, index, number, found, key, content is None))
        self._is_full = self._is_full or len(self._seen) >= MAX_CONVERSATIONS

    def _values(self, contents: Contents, places: list[Place]) -> Iterator[Any]:
        """The parsed values at these places; one that holds several conversations is parsed once."""
        parsed: tuple[int, Any] = (-1, None)
        raws = contents.document.reread([(place.offset, place.length) for place in places])
        for place, raw in zip(places, raws, strict=True):
            if parsed[0] != place.offset:
                parsed = (place.offset, parse_json(raw))
            value = parsed[1]
            if place.index >= 0:
                value = (unwrap(value, self.formats) or [])[place.index]
            else:
                parsed = (-1, None)
            yield value

    def _merged(self) -> Iterator[ParsedConversation | Skipped]:
        """Put the parts of a conversation together: as many conversations a pass as may be held at once."""
        for keys in self._batches():
            parts: dict[int, list[ParsedConversation]] = {key: [] for key in keys}
            for contents in self.contents:
                places = [place for place in _places(contents) if place.key in parts]
                for place, value in zip(places, self._values(contents, places), strict=True):
                    outcome = _parse(contents.document, place, value)
                    if isinstance(outcome, Skipped):
                        yield outcome
                    else:
                        parts[place.key].append(outcome)
            yield from (merge(found) for found in parts.values() if found)

    def _batches(self) -> Iterator[set[int]]:
        sizes: Counter[int] = Counter()
        for contents in self.contents:
            for place in _places(contents):
                if place.key in self._repeated:
                    sizes[place.key] += place.length
        batch: set[int] = set()
        held = 0
        for key, size in sizes.items():
            if batch and held + size > MAX_MERGE_BYTES:
                yield batch
                batch, held = set(), 0
            batch.add(key)
            held += size
        if batch:
            yield batch


def _places(contents: Contents) -> Iterator[Place]:
    return (found for found in contents.found if isinstance(found, Place))


def _parse(document: Document, place: Place, value: Any) -> ParsedConversation | Skipped:
    try:
        conversation = place.format.parse(value)
        if place.is_deep:
            _check_depth(conversation)
        return conversation
    except BadConversation as error:
        return Skipped(_what(document, place.number, value), str(error))
    except RecursionError:
        return Skipped(_what(document, place.number, value), too_deep())


def _check_depth(conversation: ParsedConversation) -> None:
    """A value may nest deeply and its messages not: LibreChat nests each in the one that it answers."""
    if any(
        _content_hash(value) is None for value in [conversation.header, *[node.data for node in conversation.nodes]]
    ):
        raise BadConversation(too_deep())


def _whole_if_messages(document: Document, formats: Sequence[Format]) -> Document:
    """An array of messages, not of conversations, is one conversation: read it as one value."""
    if document.level == 1:
        first = next(document.values(), None)
        is_loose = first and isinstance(first.value, dict) and not format_of(first.value, formats)
        if first and is_loose and format_of([first.value], formats):
            return replace(document, level=0, list_offset=0)
    return document


def _what(document: Document, number: int, value: Any) -> str:
    """What to call a conversation in the report."""
    title = as_title(as_dict(value).get("title") or as_dict(value).get("name"))
    names = {"number": number, "file": document.source.name, "title": title}
    if title:
        return _("Conversation %(number)s in %(file)s (“%(title)s”)") % names
    return _("Conversation %(number)s in %(file)s") % names


def _is_empty(value: Any) -> bool:
    """An object whose every field is empty, as exports have beside conversations: nobody misses it."""
    return isinstance(value, dict) and all(item in (None, "", [], {}) for item in value.values())


def _unknown() -> str:
    return _("It does not look like a conversation in any known format.")


def _content_hash(item: Any) -> int | None:
    """None if the item nests more than MAX_DEPTH levels."""
    wrapped = item
    for _level in range(_DEPTH_OF_ORJSON - MAX_DEPTH):
        wrapped = [wrapped]
    try:
        return _hash(orjson.dumps(wrapped))
    except TypeError:  # orjson's word for too many levels
        return None


def _hash(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest())
