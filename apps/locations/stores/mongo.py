"""A MongoDB collection as a store: one document a part; the last one says so, and without it a value is not there.

Everything is asked for by `_id`, name#edition#part, the one index that is always there: by `name` each write would read the
whole collection, and a large value could not be sorted (servers before 6.0 sort 100 MB without an index, and no more).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pymongo import DeleteMany

from apps.locations.mongo import client_of, foreign_errors
from apps.locations.said import said as _
from apps.locations.stores import Found, Missing
from apps.locations.stores.parts import in_parts

NAMES_A_DELETE = 500
AFTER_ALL = "\U0010ffff"


class MongoStore:
    def __init__(self, config: dict[str, Any], target: str, *, is_text: bool = False) -> None:
        self.config, self.target, self.is_text = config, target, is_text

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write the parts as a new edition, and only then take older ones away."""
        edition, is_whole = uuid4().hex, False
        with self._collection() as collection:
            try:
                last = None
                for number, part in enumerate(in_parts(chunks, is_text=self.is_text)):
                    if last is not None:
                        collection.insert_one(last)
                    last = {
                        "_id": f"{name}#{edition}#{number}", "name": name, "edition": edition, "part": number,
                        "content": part.decode("utf-8", "replace") if self.is_text else part, "is_last": False,
                    }  # fmt: skip
                collection.insert_one({**(last or {}), "is_last": True})
                is_whole = True
            finally:
                other = {"$ne": edition} if is_whole else edition
                collection.delete_many(_parts_of(name) | {"edition": other})

    def get(self, name: str) -> Iterator[bytes]:
        with self._collection() as collection:
            end = collection.find_one(_parts_of(name) | {"is_last": True}, {"edition": 1, "part": 1})
            if end is None:
                raise Missing(_("A document is not in the collection."))
            for number in range(end["part"] + 1):
                document = collection.find_one({"_id": f"{name}#{end['edition']}#{number}"})
                if document is None:  # replaced or deleted meanwhile
                    raise Missing(_("A document is not in the collection."))
                content = document["content"]
                yield content.encode() if isinstance(content, str) else bytes(content)

    def delete(self, names: Sequence[str]) -> None:
        with self._collection() as collection:
            for first in range(0, len(names), NAMES_A_DELETE):
                some = names[first : first + NAMES_A_DELETE]
                collection.bulk_write([DeleteMany(_parts_of(name)) for name in some], ordered=False)

    def find(self, prefix: str = "", after: str = "") -> Iterator[Found]:
        bounds = {"$gte": f"{after}$" if after else prefix} | ({"$lt": prefix + AFTER_ALL} if prefix else {})
        last = ""
        with self._collection() as collection:
            for document in collection.find({"_id": bounds}, {"_id": 1}).sort("_id"):
                name = str(document["_id"]).rsplit("#", 2)[0]
                if name != last:
                    yield Found(name)
                last = name

    @contextmanager
    def _collection(self) -> Iterator[Any]:
        with foreign_errors():
            client = client_of(self.config)
            try:
                collection = client[str(self.config["database"])][self.target]
                yield collection
            finally:
                client.close()


def _parts_of(name: str) -> dict[str, Any]:
    """Return the filter of every part of a value: "$" comes next after "#"."""
    return {"_id": {"$gte": f"{name}#", "$lt": f"{name}$"}}
