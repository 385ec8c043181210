"""A person's conversations as entries of an access archive, a slice of one conversation at a time.

A batch may end after any entry. The cursor names the conversation that is being written, the slice, and how many of its
entries are done; it holds ids and numbers, never content.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import orjson
from django.db.models import Q

from apps.archives.entries import Slice, closing_entries, slice_entries
from apps.archives.rendering import MESSAGES_PER_PAGE, ConversationInfo
from apps.keys.errors import KeyDestroyed
from apps.locations.contract import Entry, Scope
from apps.records.keyring import open_subject_key
from apps.records.loading import Loaded, load_group
from apps.records.models import Conversation, Subject
from apps.records.selectors.lists import theirs

ROWS = 100  # conversations looked up at once
GROUP_NODES = 2_000  # opened together
GROUP_BYTES = 8 * 1024 * 1024  # sealed and packed: some tens of megabytes in memory


@dataclass(frozen=True)
class Cursor:
    """Where an export goes on: conversations up to `after` are done, of the next one, `inside`, some entries may be."""

    stage: str = "conversations"  # "closing"
    number: int = 0  # conversations done
    after: tuple[str, str] | None = None  # started_at and id of the last one that is done
    inside: str = ""  # id of the one that has been begun
    pages: int = 1  # slices that it has
    page: int = 1  # the slice that is being written; the one after the last means its files
    done: int = 0  # entries of the slice, or files

    @classmethod
    def read(cls, text: str) -> Cursor:
        if not text:
            return cls()
        stage, number, after, *rest = orjson.loads(text)
        return cls(stage, number, tuple(after) if after else None, *rest)

    @property
    def text(self) -> str:
        place = [self.inside, self.pages, self.page, self.done]
        return orjson.dumps([self.stage, self.number, self.after, *place]).decode()


def export_conversations(subject: Subject, scope: Scope, cursor: Cursor) -> Iterator[Entry]:
    """Yield the entries of every conversation in scope, oldest first, and the ends of the files that they share."""
    export = _Export(subject, scope, cursor)
    if cursor.stage == "conversations":
        yield from export.conversations()
    yield from export.closing()


class _Export:
    def __init__(self, subject: Subject, scope: Scope, cursor: Cursor) -> None:
        self.subject, self.scope, self.cursor = subject, scope, cursor
        self.formats = [name for name in ("html", "json", "txt", "csv") if name in scope.formats] or ["html", "json"]
        self.is_shown = any(name != "json" for name in self.formats)

    def conversations(self) -> Iterator[Entry]:
        while rows := self._next_rows():
            if self.cursor.inside and str(rows[0].pk) != self.cursor.inside:
                yield from self._close_vanished()
                continue
            try:
                yield from self._all(rows)
            except KeyDestroyed:  # one of them was erased this very moment: it is not among the next rows any more
                open_subject_key(self.subject)
        if self.cursor.inside:
            yield from self._close_vanished()

    def _all(self, rows: list[Conversation]) -> Iterator[Entry]:
        for group in _groups(rows):
            for row, loaded in load_group(group):
                if loaded is None:
                    if self.cursor.inside:
                        yield from self._close_vanished()
                    if not Conversation.objects.filter(pk=row.pk, erasing_at__isnull=True).exists():
                        return  # look again: it may have been written anew, under an id just before this one
                else:
                    for entry in self._conversation(loaded):
                        self.cursor = Cursor.read(entry.cursor)
                        yield entry
                self._advance(row, counts=loaded is not None)

    def closing(self) -> Iterator[Entry]:
        skip = self.cursor.done if self.cursor.stage == "closing" else 0
        ended = Cursor("closing", self.cursor.number)
        yield from closing_entries(
            formats=self.formats,
            language=self.scope.language,
            is_empty=self.cursor.number == 0,
            cursor=lambda done: replace(ended, done=done).text,
            skip=skip,
        )

    def _next_rows(self) -> list[Conversation]:
        found = theirs(self.subject, since=self.scope.since, until=self.scope.until)
        if self.cursor.after is not None:
            started_at, last = datetime.fromisoformat(self.cursor.after[0]), UUID(self.cursor.after[1])
            found = found.filter(Q(started_at__gt=started_at) | Q(started_at=started_at, pk__gt=last))
        return list(found.order_by("started_at", "pk")[:ROWS])

    def _conversation(self, loaded: Loaded) -> Iterator[Entry]:
        number = self.cursor.number + 1
        pages = max(1, -(-len(loaded.order) // MESSAGES_PER_PAGE))
        begun = self.cursor if self.cursor.inside else replace(self.cursor, inside=str(loaded.row.pk))
        begun = replace(begun, pages=pages)
        info = loaded.info(number)
        for page in range(begun.page, pages + 1):
            part = loaded.slice(info, page, is_last=page == pages, is_shown=self.is_shown)
            yield from self._slice(part, begun)
        skip = begun.done if begun.page > pages else 0
        for done, entry in enumerate(loaded.file_entries(number), 1):
            if done > skip:
                entry.cursor = replace(begun, page=pages + 1, done=done).text
                yield entry

    def _slice(self, part: Slice, begun: Cursor) -> Iterator[Entry]:
        yield from slice_entries(
            part,
            formats=self.formats,
            language=self.scope.language,
            is_first_conversation=begun.number == 0,
            cursor=lambda done: replace(begun, page=part.number, done=done).text,
            skip=begun.done if part.number == begun.page else 0,
        )

    def _advance(self, row: Conversation, *, counts: bool) -> None:
        self.cursor = Cursor(number=self.cursor.number + counts, after=(row.started_at.isoformat(), str(row.pk)))

    def _close_vanished(self) -> Iterator[Entry]:
        """End the files of a conversation that was erased while it was being written: they must stay readable."""
        begun = self.cursor
        self.cursor = Cursor(number=begun.number + 1, after=begun.after)
        info = ConversationInfo(number=begun.number + 1, title="", message_count=0)
        if begun.page < begun.pages and begun.done:  # of this slice some entries are written and some are not
            yield from self._slice(Slice(info, (), (), {}, number=begun.page, is_last=False), begun)
            begun = replace(begun, page=begun.page + 1, pages=begun.page + 1, done=0)
        if begun.page <= begun.pages:
            yield from self._slice(Slice(info, (), (), {}, number=begun.page, is_last=True), begun)


def _groups(rows: list[Conversation]) -> Iterator[list[Conversation]]:
    """Gather conversations that are opened together; their keys live no longer than one group takes."""
    group: list[Conversation] = []
    nodes = size = 0
    for row in rows:
        if group and (nodes + row.node_count > GROUP_NODES or size + row.stored_bytes > GROUP_BYTES):
            yield group
            group, nodes, size = [], 0, 0
        group.append(row)
        nodes += row.node_count
        size += row.stored_bytes
    if group:
        yield group
