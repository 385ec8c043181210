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
from apps.records.sources.reading import Batch, Cursor, earlier, freeze, thaw

CONVERSATIONS_A_BATCH = 50
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
        """The same order and the same cursor as in SQL (sql.py)."""
        has_mark = bool(self.mapping.columns["watermark"])
        if "last" not in cursor:
            since = earlier(_thaw(cursor["mark"])) if cursor.get("mark") is not None and has_mark else None
            cursor = {"since": _freeze(since), "last": None, "mark": cursor.get("mark")}
        while True:
            page = self._changed(cursor)
            if not page:
                break
            top, name = page[-1]["top"], page[-1]["_id"]
            cursor = {**cursor, "last": [_freeze(top), _freeze(name)], "mark": _freeze(top)}
            grouped = group_rows(self._rows([one["_id"] for one in page]), self.mapping)
            yield Batch(dict(grouped.people), cursor, grouped.troubles)
            if len(page) < CONVERSATIONS_A_BATCH:
                break
        yield Batch({}, {"mark": cursor["mark"]} if has_mark else {})

    def _changed(self, cursor: Cursor) -> list[dict[str, Any]]:
        columns = self.mapping.columns
        wanted: dict[str, Any] = {columns["conversation"]: {"$ne": None}}
        if columns["watermark"]:
            since = _thaw(cursor["since"])
            wanted[columns["watermark"]] = {"$ne": None} if since is None else {"$gte": since}
        top = {"$max": f"${columns['watermark']}"} if columns["watermark"] else {"$max": 0}
        steps: list[dict[str, Any]] = [
            {"$match": wanted},
            {"$group": {"_id": f"${columns['conversation']}", "top": top}},
        ]
        if cursor["last"] is not None:
            last_top, last = (_thaw(value) for value in cursor["last"])
            steps.append({"$match": {"$or": [{"top": {"$gt": last_top}}, {"top": last_top, "_id": {"$gt": last}}]}})
        steps += [{"$sort": {"top": 1, "_id": 1}}, {"$limit": CONVERSATIONS_A_BATCH}]
        with self._collection() as collection:
            return list(collection.aggregate(steps, allowDiskUse=True))

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


def _freeze(value: Any) -> Any:
    return {"object": str(value)} if isinstance(value, ObjectId) else freeze(value)


def _thaw(value: Any) -> Any:
    """A time comes back with its zone: the client reads times so (mongo.py)."""
    if isinstance(value, dict) and "object" in value:
        return ObjectId(value["object"])
    thawed = thaw(value)
    return thawed.replace(microsecond=thawed.microsecond // 1000 * 1000) if isinstance(thawed, datetime) else thawed
