"""A collection of messages in MongoDB, a document a message. Field names may lead into documents: `author.id`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from bson import ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.json_util import JSONMode, JSONOptions
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.locations.connectors.mongodb.matching import behind
from apps.locations.errors import Unavailable
from apps.locations.mongo import client_of, foreign_errors
from apps.records.importers.types import Skipped
from apps.records.sources.mapping import Mapping, group_rows
from apps.records.sources.reading import OVERLAP_TIME, Batch, Cursor, earlier

DOCUMENTS_A_PAGE = 200
SAMPLED = 100
EXACT: JSONOptions = JSONOptions(
    json_mode=JSONMode.CANONICAL, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)  # every type of MongoDB comes back as it was: a value of another type compares with nothing there


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

        Without a watermark the `_id` is the mark, if it is one that a driver gives out: those grow with time. Where it is
        of another type, everything is read each time.
        """
        if not {"begun", "last"} <= cursor.keys():
            since = None
            if "begun" in cursor and cursor["mark"] is not None:
                begun = datetime.fromisoformat(cursor["begun"])
                since = _earlier(_thaw(cursor["mark"]), begun.astimezone(self.mapping.zone))
            begun_now = timezone.now().isoformat()
            cursor = {"begun": begun_now, "since": _freeze(since), "last": None, "mark": cursor.get("mark")}
        while page := self._page(cursor):
            top, number = page[-1][0], page[-1][1]
            cursor = {**cursor, "last": [_freeze(top), _freeze(number)], "mark": _freeze(top)}
            names = list(dict.fromkeys(name for _top, _number, name in page))
            grouped = group_rows(self._rows(names), self.mapping)
            yield Batch(dict(grouped.people), cursor, grouped.troubles)
            if len(page) < DOCUMENTS_A_PAGE:
                break
        grows = self.mapping.columns["watermark"] or self._has_ids_of_drivers()
        left = {"begun": cursor["begun"], "mark": cursor["mark"]} if grows else {}
        yield Batch({}, left, self._unseen())

    def _has_ids_of_drivers(self) -> bool:
        """Say whether every `_id` is an ObjectId: the first and the last are then, in the order of types."""
        with self._collection() as collection:
            ends = [one for way in (1, -1) for one in collection.find({}, {"_id": 1}).sort("_id", way).limit(1)]
        return all(isinstance(one["_id"], ObjectId) for one in ends)

    def _unseen(self) -> list[Skipped]:
        """Count the documents that no query of ours finds; a server that takes too long for that is not asked."""
        names = [self.mapping.columns[name] for name in ("conversation", "watermark") if self.mapping.columns[name]]
        try:
            with self._collection() as collection:
                return self.mapping.unseen(collection.count_documents({"$or": [{name: None} for name in names]}))
        except Unavailable:
            return []

    def _page(self, cursor: Cursor) -> list[tuple[Any, Any, Any]]:
        """Return mark, id and conversation of the documents that come next."""
        name, mark = self.mapping.columns["conversation"], self.mapping.columns["watermark"] or "_id"
        wanted: dict[str, Any] = {name: {"$ne": None}, mark: {"$ne": None}}
        if (since := _thaw(cursor["since"])) is not None:
            wanted[mark] = {"$gte": since}
        if cursor["last"] is not None:
            top, number = (_thaw(value) for value in cursor["last"])
            later = {"$or": [{mark: {"$gt": top}}, {"$and": [{mark: top}, behind(number)]}]}
            wanted = {"$and": [wanted, behind(number) if mark == "_id" else later]}
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


def _earlier(mark: Any, begun: datetime) -> Any:
    if isinstance(mark, ObjectId):
        return ObjectId.from_datetime(min(mark.generation_time, begun) - OVERLAP_TIME)
    return earlier(mark, begun)


def _freeze(value: Any) -> str:
    return json_util.dumps(value, json_options=EXACT)


def _thaw(value: str | None) -> Any:
    return None if value is None else json_util.loads(value, json_options=EXACT)
