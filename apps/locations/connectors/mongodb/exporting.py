"""A person's documents as files of an archive: extended JSON lines for each collection, GridFS files as they are.

Relaxed extended JSON v2 (MongoDB specification) keeps every BSON type, so that the lines can be imported again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bson import json_util
from pymongo.database import Database

from apps.locations import mongo
from apps.locations.connectors.mongodb.matching import Filter, Finder, Position, behind
from apps.locations.connectors.mongodb.rules import Rule
from apps.locations.contract import Entry

PAGE, PAGE_BYTES = 1000, 4 * 1024 * 1024  # also what is asked of the server at once, which ends an answer at 16 MB
PIECE = 16  # chunks of a GridFS file in one entry: 4 MB of the usual 255 KiB
INDEX_NAME, JSON_TYPE = "index.jsonl", "application/x-ndjson"


@dataclass(frozen=True)
class At:
    """Where an export is; its text names ids of documents, so the engine seals it."""

    rule: int = 0
    after: Position = ()  # behind which parents' documents to go on
    last: Any = None  # the _id behind which to go on
    is_begun: bool = False
    is_ended: bool = False
    documents: int = 0
    files: int = 0
    is_indexed: bool = False
    pending: tuple[tuple[str, Any, int], ...] = ()  # GridFS files to write: name, _id, chunks written

    @classmethod
    def read(cls, cursor: str) -> At:
        if not cursor:
            return cls()
        rule, after, last, is_begun, is_ended, documents, files, is_indexed, pending = json_util.loads(cursor)
        waiting = tuple((name, of, number) for name, of, number in pending)
        return cls(rule, after, last, is_begun, is_ended, documents, files, is_indexed, waiting)

    @property
    def text(self) -> str:
        plain = [self.is_begun, self.is_ended, self.documents, self.files, self.is_indexed]
        waiting = [list(one) for one in self.pending]
        return json_util.dumps([self.rule, list(self.after), self.last, *plain, waiting])


class Exporter:
    def __init__(self, database: Database[Any], rules: list[Rule], finder: Finder) -> None:
        self._database, self._rules, self._finder = database, rules, finder

    def entries(self, at: At) -> Iterator[Entry]:
        while at.rule < len(self._rules):
            if at.pending:
                entry, at = self._piece(at)
                yield entry
            elif not at.is_ended:
                pages = self._pages(at)
                at = replace(at, is_ended=True)
                for entry, following in pages:
                    yield entry
                    at = following
                    if at.pending:
                        break
            else:
                indexed = self._index_line(at)
                at = indexed[1]
                if indexed[0] is not None:
                    yield indexed[0]
        if at.is_indexed and at.rule == len(self._rules):
            yield Entry(INDEX_NAME, JSON_TYPE, [], replace(at, rule=at.rule + 1).text, part="last", count=0)

    def _file(self, at: At) -> str:
        name = self._rules[at.rule].name.lower().replace(".", "-")
        slug = f"-{name}" if re.fullmatch(r"[a-z0-9_-]{1,40}", name) else ""
        return f"{at.rule + 1:02d}{slug}.jsonl"

    def _index_line(self, at: At) -> tuple[Entry | None, At]:
        following = At(at.rule + 1, files=at.files, is_indexed=at.is_indexed or bool(at.documents))
        if not at.documents:
            return None, following
        line = {"name": self._rules[at.rule].name, "file": self._file(at), "documents": at.documents}
        data = json.dumps(line).encode() + b"\n"
        return Entry(INDEX_NAME, JSON_TYPE, [data], following.text, part="piece", count=0), following

    def _pages(self, at: At) -> Iterator[tuple[Entry, At]]:
        """Yield the pages of a collection. A page is held back until it is known whether another one follows."""
        held: tuple[bytes, int, At] | None = None
        for page in self._pages_of_filters(at):
            if held is not None:
                yield self._written(at, *held, is_last=False)
                at = held[2]
            held = page
        if held is not None:
            yield self._written(at, *held, is_last=True)
        elif at.is_begun:
            following = replace(at, is_ended=True)
            yield Entry(self._file(at), JSON_TYPE, [], following.text, part="last", count=0), following

    def _written(self, at: At, data: bytes, count: int, following: At, *, is_last: bool) -> tuple[Entry, At]:
        following = replace(following, is_ended=is_last)
        part = ("last" if at.is_begun else "whole") if is_last else "piece"
        return Entry(self._file(at), JSON_TYPE, [data], following.text, part=part, count=count), following

    def _pages_of_filters(self, at: At) -> Iterator[tuple[bytes, int, At]]:
        rule = self._rules[at.rule]
        with mongo.foreign_errors():
            for filter_, end in self._finder.filters(rule, at.after):
                for data, count, following in self._pages_of(rule, filter_, at):
                    yield data, count, following
                    at = replace(following, pending=())
                at = replace(at, after=end, last=None)

    def _pages_of(self, rule: Rule, filter_: Filter, at: At) -> Iterator[tuple[bytes, int, At]]:
        wanted = {"$and": [filter_, behind(at.last)]} if at.last is not None else filter_
        documents = self._database[rule.collection].with_options(mongo.codec_of(dict))
        lines: list[bytes] = []
        size, pending = 0, list(at.pending)
        for document in documents.find(wanted).sort("_id").batch_size(PAGE):
            last = document["_id"]
            if rule.is_bucket:
                document["file"] = f"{at.rule + 1:02d}-{at.files + len(pending) + 1:06d}.bin"
                pending.append((document["file"], last, 0))
            lines.append(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS).encode() + b"\n")
            size += len(lines[-1])
            if len(lines) >= PAGE or size >= PAGE_BYTES:
                at = self._after(replace(at, last=last), len(lines), pending)
                yield b"".join(lines), len(lines), at
                at, lines, size, pending = replace(at, pending=()), [], 0, []
        if lines:
            yield b"".join(lines), len(lines), self._after(replace(at, last=last), len(lines), pending)

    def _after(self, at: At, count: int, pending: list[tuple[str, Any, int]]) -> At:
        return replace(
            at, is_begun=True, documents=at.documents + count, files=at.files + len(pending), pending=tuple(pending)
        )

    def _piece(self, at: At) -> tuple[Entry, At]:
        """Write the next chunks of a GridFS file; one that went away meanwhile ends where it is."""
        name, file_id, start = at.pending[0]
        chunks = self._database[f"{self._rules[at.rule].name}.chunks"]
        with mongo.foreign_errors():
            wanted = {"files_id": file_id, "n": {"$gte": start, "$lt": start + PIECE}}
            data = [bytes(chunk["data"]) for chunk in chunks.find(wanted).sort("n")]
        is_last = len(data) < PIECE
        left = at.pending[1:] if is_last else ((name, file_id, start + PIECE), *at.pending[1:])
        at = replace(at, pending=left)
        part = ("whole" if start == 0 else "last") if is_last else "piece"
        return Entry(name, "application/octet-stream", data, at.text, part=part, count=0), at
