"""A collection of messages in MongoDB, a document a message. Field names may lead into documents: `author.id`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from bson import ObjectId
from django.utils.translation import gettext as _

from apps.locations.mongo import client_of, foreign_errors
from apps.records.sources.mapping import Mapping, group_rows
from apps.records.sources.reading import OVERLAP_TIME, Batch, Cursor, earlier, freeze, thaw

DOCUMENTS_A_PAGE = 200
SAMPLED = 100


class MongoReader:
    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Any = None) -> None:
        self.config = config
        self.mapping = Mapping.of(mapping)

    def check(self) -> list[str]:
        with self._collection() as collection:
            sample = list(collection.find({}).limit(SAMPLED))
        if not sample:
            return [_("The collection is empty, or there is none of this name.")]
        present = {path for document in sample for path in _paths(document)}
        return self.mapping.missing_from(sorted(present))

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        """Documents in the order of their mark, a page at a time; each conversation that one belongs to is read whole.

        Without a watermark the `_id` is the mark: those that a driver gives out grow with time.
        """
        if "last" not in cursor:
            mark = _thaw(cursor["mark"]) if cursor.get("mark") is not None else None
            cursor = {"since": _freeze(_earlier(mark)), "last": None, "mark": cursor.get("mark")}
        while page := self._page(cursor):
            top, number = page[-1][0], page[-1][1]
            cursor = {**cursor, "last": [_freeze(top), _freeze(number)], "mark": _freeze(top)}
            names = list(dict.fromkeys(name for _top, _number, name in page))
            grouped = group_rows(self._rows(names), self.mapping)
            yield Batch(dict(grouped.people), cursor, grouped.troubles)
            if len(page) < DOCUMENTS_A_PAGE:
                break
        yield Batch({}, {"mark": cursor["mark"]})

    def _page(self, cursor: Cursor) -> list[tuple[Any, Any, Any]]:
        """Return mark, id and conversation of the documents that come next."""
        name, mark = self.mapping.columns["conversation"], self.mapping.columns["watermark"] or "_id"
        wanted: dict[str, Any] = {name: {"$ne": None}, mark: {"$ne": None}}
        if (since := _thaw(cursor["since"])) is not None:
            wanted[mark] = {"$gte": since}
        if cursor["last"] is not None:
            top, number = (_thaw(value) for value in cursor["last"])
            wanted = {"$and": [wanted, {"$or": [{mark: {"$gt": top}}, {mark: top, "_id": {"$gt": number}}]}]}
        order = list({mark: 1, "_id": 1}.items())
        with self._collection() as collection:
            found = collection.find(wanted).sort(order).limit(DOCUMENTS_A_PAGE)
            return [(_value(one, mark), one["_id"], _value(one, name)) for one in found]

    def _rows(self, names: list[Any]) -> Iterator[dict[str, Any]]:
        used = self.mapping.used()
        order = [(used["conversation"], 1)]
        order += [(used[meaning], 1) for meaning in ("time", "watermark", "id") if meaning in used]
        with self._collection() as collection:
            for document in collection.find({used["conversation"]: {"$in": names}}).sort(list(dict(order).items())):
                yield {meaning: _value(document, path) for meaning, path in used.items()}

    @contextmanager
    def _collection(self) -> Iterator[Any]:
        with foreign_errors():
            client = client_of(self.config)
            try:
                yield client[str(self.config["database"])][self.mapping.table]
            finally:
                client.close()


def _value(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _paths(document: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in document.items():
        path = f"{above}{name}"
        yield path
        if isinstance(value, dict):
            yield from _paths(value, f"{path}.")


def _earlier(mark: Any) -> Any:
    if isinstance(mark, ObjectId):
        return ObjectId.from_datetime(mark.generation_time - OVERLAP_TIME)
    return earlier(mark)


def _freeze(value: Any) -> Any:
    return {"object": str(value)} if isinstance(value, ObjectId) else freeze(value)


def _thaw(value: Any) -> Any:
    """A time comes back with its zone: the client reads times so (mongo.py)."""
    if isinstance(value, dict) and "object" in value:
        return ObjectId(value["object"])
    thawed = thaw(value)
    return thawed.replace(microsecond=thawed.microsecond // 1000 * 1000) if isinstance(thawed, datetime) else thawed
