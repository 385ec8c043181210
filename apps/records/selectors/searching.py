"""Search: there is no index of words, so conversations are opened one after the other, newest first (DESIGN §2)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from uuid import UUID

import orjson
from django.db.models import Q

from apps.records import contexts
from apps.records.drafts import DATA
from apps.records.importers.display import text_of
from apps.records.models import Conversation, Message, Subject
from apps.records.opening import living_keys, open_head
from apps.records.selectors.lists import ConversationSummary, summaries, theirs
from apps.sealing import content
from apps.sealing.aead import Box

SECONDS = 2.0  # a page; then the person is asked whether to go on
HITS = 20  # a page
MAX_WORDS = 10
CONVERSATIONS_AT_ONCE = 50
NODES_AT_ONCE = 500
EXCERPT = 160  # characters


@dataclass(frozen=True)
class Hit(ConversationSummary):
    """A conversation in which one message, or the title, has all the words. `position` leads to the message."""

    position: int | None = None
    excerpt: str = ""


@dataclass(frozen=True)
class SearchPage:
    """`next_cursor` is "" when everything was looked through; `searched_back_to`: how far this page came."""

    hits: list[Hit]
    next_cursor: str
    searched_back_to: datetime | None


@dataclass(frozen=True)
class _Place:
    """How far a search has come: conversations up to `after` are done, and `inside` up to `position`."""

    after: tuple[str, str] | None = None
    inside: str = ""
    position: int = 0

    @classmethod
    def read(cls, text: str) -> _Place:
        try:
            after, inside, position = orjson.loads(bytes.fromhex(text))
            if after is not None:
                after = (datetime.fromisoformat(after[0]).astimezone(UTC).isoformat(), str(UUID(after[1])))
            return cls(after, str(inside), int(position))
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError):
            return cls()

    @property
    def text(self) -> str:
        return orjson.dumps([self.after, self.inside, self.position]).hex()


def search(
    subject: Subject, words: str, *, cursor: str = "", seconds: float = SECONDS, limit: int = HITS
) -> SearchPage:
    """Look for conversations with all the words in one message or in the title; upper and lower case are one.

    Works for at most about `seconds`, then `next_cursor` goes on where it stopped. Files are not looked into.
    """
    needles = _needles(words)
    if not needles:
        return SearchPage([], "", None)
    run = _Search(subject, needles, _Place.read(cursor), time.monotonic() + seconds)
    found = run.hits(limit)
    return SearchPage(found, run.place.text if run.is_unfinished else "", run.back_to)


class _Search:
    def __init__(self, subject: Subject, needles: list[str], place: _Place, ends_at: float) -> None:
        self.subject, self.needles, self.place, self.ends_at = subject, needles, place, ends_at
        self.escaped = [orjson.dumps(needle)[1:-1].decode() for needle in needles]
        self.is_unfinished = False
        self.back_to: datetime | None = None

    def hits(self, limit: int) -> list[Hit]:
        found: list[Hit] = []
        while rows := self._next_rows():
            opened = living_keys(rows)
            for row in rows:
                match = self._look(row, Box(opened[row.key_id])) if row.key_id in opened else None
                self.back_to = row.updated_at
                if self.is_unfinished:
                    return found
                self.place = _Place(after=(row.updated_at.isoformat(), str(row.pk)))
                if match is not None:
                    found += self._hit(row, *match)
                if len(found) >= limit or self._is_late():
                    self.is_unfinished = True
                    return found
        return found

    def _next_rows(self) -> list[Conversation]:
        found = theirs(self.subject)
        if self.place.after is not None:
            updated_at, last = datetime.fromisoformat(self.place.after[0]), UUID(self.place.after[1])
            found = found.filter(Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, pk__gt=last))
        return list(found.order_by("-updated_at", "pk")[:CONVERSATIONS_AT_ONCE])

    def _look(self, row: Conversation, box: Box) -> tuple[int | None, str] | None:
        """Return where the words are, or None; sets `is_unfinished` when time is up in the middle."""
        start = self.place.position if self.place.inside == str(row.pk) else 0
        if start == 0:
            title = open_head(row, box).title
            if self._has_all(title):
                return None, ""
        for position, sealed in self._nodes(row, start):
            text = self._match(row, box, position, sealed)
            if text is not None:
                return position, _excerpt(text, self.needles[0])
            if position % NODES_AT_ONCE == NODES_AT_ONCE - 1 and self._is_late():
                self.place = _Place(self.place.after, str(row.pk), position + 1)
                self.is_unfinished = True
                return None
        return None

    def _nodes(self, row: Conversation, start: int) -> Iterator[tuple[int, bytes]]:
        rows = Message.objects.filter(conversation_id=row.pk, is_message=True).order_by("position")
        while batch := list(rows.filter(position__gte=start).values_list("position", "sealed")[:NODES_AT_ONCE]):
            yield from ((position, bytes(sealed)) for position, sealed in batch)
            start = batch[-1][0] + 1

    def _match(self, row: Conversation, box: Box, position: int, sealed: bytes) -> str | None:
        """Return the text of a message that has all words. The JSON as a whole is looked at first: it is quicker."""
        prefix = contexts.messages(row.key_id, row.pk)
        value = content.unseal_json(box, sealed, context=contexts.message(prefix, position))
        data = value[DATA]
        whole = orjson.dumps(data).decode().casefold()
        if not all(needle in whole for needle in self.escaped):
            return None
        text = "\n".join(part.text for part in text_of(data))
        return text if self._has_all(text) else None

    def _has_all(self, text: str) -> bool:
        folded = text.casefold()
        return all(needle in folded for needle in self.needles)

    def _hit(self, row: Conversation, position: int | None, excerpt: str) -> Iterator[Hit]:
        for line in summaries(self.subject, [row]):
            values = {field.name: getattr(line, field.name) for field in fields(line)}
            yield Hit(**values, position=position, excerpt=excerpt)

    def _is_late(self) -> bool:
        return time.monotonic() >= self.ends_at


def _needles(words: str) -> list[str]:
    return list(dict.fromkeys(words.casefold().split()))[:MAX_WORDS]


def _excerpt(text: str, needle: str) -> str:
    """Return some words around the first place; folding may move it a little, which does no harm here."""
    flat = " ".join(text.split())
    at = max(flat.casefold().find(needle), 0)
    start = max(0, at - EXCERPT // 3)
    end = start + EXCERPT
    return f"{'…' if start else ''}{flat[start:end]}{'…' if end < len(flat) else ''}"
