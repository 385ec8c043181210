"""MongoDB for the contract tests: the real driver against the stand-in of tests/mongodb.py, seen past the connector."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from bson import json_util
from pymongo.errors import AutoReconnect

from apps.locations.connectors.mongodb.connector import MongoConnector
from tests.contracts.kinds import Kind
from tests.mongodb import MongoDB, Running

NOTES = {"collection": "notes", "field": "user_id", "kind": "user_id"}


def line(rule: dict[str, Any]) -> dict[str, Any]:
    usual = {"kind": "", "parent": "", "is_bucket": False, "action": "delete", "fields": [], "why": "", "mark": ""}
    return usual | rule


class MongoPlace:
    """A database with notes; a test adds what else it needs."""

    def __init__(self, data: MongoDB, address: str, *, rules: Sequence[dict[str, Any]] = (NOTES,)) -> None:
        self.data = data
        self.config: dict[str, Any] = {
            "hosts": address, "database": "shop", "user": data.user, "password": data.password, "tls": "off",
            "horizon_days": 30, "collections": [line(rule) for rule in rules],
        }  # fmt: skip
        self.data.options["shop", "notes"] = {"indexes": [{"user_id": 1}]}
        self.data.collection("shop", "notes")

    @property
    def connector(self) -> MongoConnector:
        return MongoConnector(self.config)

    def with_rules(self, *rules: dict[str, Any]) -> MongoConnector:
        return MongoConnector(self.config | {"collections": [line(rule) for rule in rules]})

    def put(self, collection: str, *documents: dict[str, Any]) -> None:
        stored = self.data.collection("shop", collection)
        ids = {repr(document["_id"]) for document in documents}
        stored[:] = [document for document in stored if repr(document["_id"]) not in ids]
        stored.extend(documents)

    def everything(self) -> dict[str, str]:
        return {
            f"{name}/{document['_id']}": hashlib.sha256(json_util.dumps(document).encode()).hexdigest()
            for name, documents in self.data.databases["shop"].items()
            for document in documents
        }


class Mongo(Kind):
    """Notes of people, found by user_id."""

    transport = (
        "pymongo.synchronous.mongo_client.MongoClient._select_server",
    )  # not of the thread that watches the server
    batches = ("apps.locations.connectors.mongodb.erasing.BATCH",)

    def __init__(self, place: MongoPlace) -> None:
        self.place = place
        self.connector = place.connector

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.place.put("notes", {"_id": f"{user_id}/{name}", "user_id": user_id, "text": data.decode()})

    def put_many(self, user_id: str, count: int) -> None:
        documents = (
            {"_id": f"{user_id}/{n:06}", "user_id": int(user_id), "text": f"item {n:06}"} for n in range(count)
        )
        self.place.put("notes", *documents)

    def everything(self) -> dict[str, str]:
        return self.place.everything()

    def of(self, user_id: str) -> dict[str, str]:
        return {name: digest for name, digest in self.everything().items() if name.startswith(f"notes/{user_id}/")}

    def again(self) -> MongoConnector:
        return self.place.connector

    def lost(self) -> Exception:
        return AutoReconnect("connection closed")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        stored = self.place.data.collection("shop", "notes")
        self.place.data.kept = [document for document in stored if document["_id"] == f"{user_id}/{name}"]
        yield
        self.place.data.kept = []

    def with_wrong_credentials(self) -> MongoConnector:
        return MongoConnector(self.place.config | {"password": "wrong"})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> MongoConnector:
        monkeypatch.setattr("apps.locations.mongo.ANSWER_SECONDS", 1.0)
        monkeypatch.setattr("apps.locations.mongo.CONNECT_SECONDS", 1.0)
        return MongoConnector(self.place.config | {"hosts": address})


@pytest.fixture
def mongodb() -> Iterator[MongoPlace]:
    data = MongoDB(user="habeas", password="only for tests")
    with Running(data) as listener:
        yield MongoPlace(data, listener.address)


DOCUMENT_KINDS = {"mongodb": lambda request: Mongo(request.getfixturevalue("mongodb"))}
