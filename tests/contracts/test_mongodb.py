"""What only MongoDB can do to us: paths into documents, lists of people, ids of every type, GridFS, kinds of collections."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, ObjectId, json_util

from apps.locations.connectors.mongodb import erasing, exporting, matching
from apps.locations.connectors.mongodb.erasing import Eraser
from apps.locations.contract import Change, Identity, Kept, Scope
from apps.locations.errors import Refused
from apps.locations.reasons import Reason
from tests.contracts.documents import NOTES, MongoPlace
from tests.contracts.test_contract import erase, exported

SCOPE = Scope()
TALKS = {"collection": "talks", "field": "owner.email", "kind": "email"}
MESSAGES = {"collection": "messages", "field": "talk", "parent": "talks"}
FILES = {"collection": "fs", "field": "metadata.user_id", "kind": "user_id", "is_bucket": True}


@pytest.fixture
def talks(mongodb: MongoPlace) -> MongoPlace:
    for number, who in enumerate(("ada", "ben") * 2):
        mongodb.put("talks", {"_id": number, "owner": {"email": f"{who}@example.org"}})
        mongodb.put("messages", *({"_id": ObjectId(), "talk": number, "text": who} for _n in range(3)))
    return mongodb


def found(connector: Any, who: Identity) -> dict[str, int]:
    return dict(Counter(item.group for item in connector.find(who, SCOPE)))


def test_what_belongs_to_a_document_goes_before_it_and_bens_stays(
    talks: MongoPlace, ada: Identity, ben: Identity
) -> None:
    connector = talks.with_rules(TALKS, MESSAGES)
    assert found(connector, ada) == found(connector, ben) == {"talks": 2, "messages": 6}
    of_ben = {name for name, document in documents(talks) if "ben" in str(document)}
    steps = [batch.counts["documents"] for batch in connector.erase(ada, SCOPE, "")]
    assert steps == [6, 2]
    assert connector.remaining(ada, SCOPE).count == 0
    assert set(talks.everything()) == of_ben
    assert found(connector, ben) == {"talks": 2, "messages": 6}


def documents(place: MongoPlace) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{n}/{d['_id']}", d) for n, ds in place.data.databases["shop"].items() for d in ds]


@pytest.mark.parametrize("stored", ["4", 4, 4.0])
def test_an_id_is_found_as_text_and_as_a_number(mongodb: MongoPlace, ada: Identity, stored: Any) -> None:
    mongodb.put("notes", {"_id": 1, "user_id": stored}, {"_id": 2, "user_id": "04"}, {"_id": 3, "user_id": True})
    assert found(mongodb.connector, ada) == {"notes": 1}


def test_ids_of_mongodb_and_uuids_are_found(mongodb: MongoPlace, ada: Identity) -> None:
    number, uuid = ObjectId(), UUID(int=7)
    mongodb.put("notes", {"_id": 1, "user_id": number}, {"_id": 2, "user_id": Binary.from_uuid(uuid)})
    who = Identity(ada.subject_id, None, None, (("user_id", str(number)), ("user_id", str(uuid))))
    assert found(mongodb.connector, who) == {"notes": 2}


@pytest.mark.parametrize("value", ["$ne", '{"$gt": ""}', ".*", "4\x00", ""])
def test_a_value_is_never_an_operator(mongodb: MongoPlace, ada: Identity, value: str) -> None:
    mongodb.put("notes", {"_id": 1, "user_id": "4"}, {"_id": 2, "user_id": ""})
    who = Identity(ada.subject_id, None, None, (("user_id", value),))
    if value in ("", "4\x00"):
        with pytest.raises(Refused):
            erase(mongodb.connector, who)
    else:
        assert erase(mongodb.connector, who) == 0
    assert len(mongodb.everything()) == 2


def test_a_document_of_several_people_is_left_and_said(mongodb: MongoPlace, ada: Identity) -> None:
    mongodb.put(
        "rooms",
        {"_id": 1, "people": [{"id": "4"}, {"id": "42"}]},
        {"_id": 2, "people": {"id": "4"}},
        {"_id": 3, "people": {"id": ["4", "42"]}},
    )
    connector = mongodb.with_rules({"collection": "rooms", "field": "people.id", "kind": "user_id"})
    [obstacle] = connector.preflight(ada, SCOPE)
    assert (obstacle.reason, obstacle.count) == (Reason.SHARED, 2)
    assert erase(connector, ada) == 1
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (2, Reason.SHARED)


def test_files_of_gridfs_are_read_whole_and_go_with_their_chunks(mongodb: MongoPlace, ada: Identity) -> None:
    data = bytes(range(256)) * 4000
    for number, user in enumerate(("4", "42")):
        mongodb.put(
            "fs.files", {"_id": number, "filename": "x.bin", "length": len(data), "metadata": {"user_id": user}}
        )
        pieces = [data[start : start + 50_000] for start in range(0, len(data), 50_000)]
        mongodb.put(
            "fs.chunks",
            *({"_id": f"{number}/{n}", "files_id": number, "n": n, "data": piece} for n, piece in enumerate(pieces)),
        )
    connector = mongodb.with_rules(FILES)
    for stop_after in (1, 10**9):
        files = exported(connector, ada, stop_after=stop_after)
        assert files["01-000001.bin"] == data
        assert json_util.loads(files["01-fs.jsonl"])["file"] == "01-000001.bin"
    erase(connector, ada)
    assert connector.remaining(ada, SCOPE).count == 0
    assert {name.split("/")[0] for name in mongodb.everything()} == {"fs.files", "fs.chunks"}
    assert all("1" in name for name in mongodb.everything())


@pytest.mark.parametrize("stop_after", [1, 2, 10**9])
def test_ids_of_mixed_types_are_each_read_once(
    mongodb: MongoPlace, ada: Identity, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 2)
    ids = [1, 2.5, "a", "b", ObjectId(), Binary.from_uuid(UUID(int=9)), datetime(2026, 1, 1, tzinfo=UTC), True, 0, 99]
    mongodb.put("notes", *({"_id": one, "user_id": "4", "n": n} for n, one in enumerate(ids)))
    lines = exported(mongodb.connector, ada, stop_after=stop_after)["01-notes.jsonl"].splitlines()
    assert sorted(json_util.loads(line)["n"] for line in lines) == list(range(len(ids)))


def test_fields_are_removed_and_the_rest_stays(mongodb: MongoPlace, ada: Identity) -> None:
    mongodb.put("notes", {"_id": 1, "user_id": "4", "text": "hers", "at": {"street": "x", "zone": 1}})
    connector = mongodb.with_rules(NOTES | {"action": "unset", "fields": ["text", "at.street"], "why": "Statistics"})
    assert erase(connector, ada) == 1
    left = connector.remaining(ada, SCOPE)
    assert (left.count, left.kept) == (0, (Kept("notes", 1, "Statistics", ("text", "at.street")),))
    assert documents(mongodb) == [("notes/1", {"_id": 1, "user_id": "4", "at": {"zone": 1}})]
    assert erase(connector, ada) == 0


def test_a_collection_that_deletes_nothing_needs_a_person_and_the_others_go(talks: MongoPlace, ada: Identity) -> None:
    talks.put("log", {"_id": 1, "user_id": "4"})
    talks.data.options["shop", "log"] = {"capped": True, "is_undeletable": True}
    connector = talks.with_rules({"collection": "log", "field": "user_id", "kind": "user_id"}, TALKS, MESSAGES)
    assert any("capped" in problem for problem in connector.check().problems)
    with pytest.raises(Refused):
        erase(connector, ada)
    assert found(connector, ada) == {"log": 1}


def test_missing_roles_and_images_are_said(mongodb: MongoPlace) -> None:
    mongodb.data.privileges = [{"resource": {"db": "shop", "collection": ""}, "actions": ["find"]}]
    mongodb.data.options["shop", "notes"]["changeStreamPreAndPostImages"] = {"enabled": True}
    problems = " ".join(mongodb.connector.check().problems)
    assert "The permission remove on notes is missing" in problems
    assert "images of deleted documents" in problems


def test_a_value_is_corrected_and_a_restriction_marked(mongodb: MongoPlace, ada: Identity) -> None:
    mongodb.put("notes", {"_id": 1, "user_id": "4", "name": "Adda"}, {"_id": 2, "user_id": "42", "name": "Adda"})
    connector = mongodb.with_rules(NOTES | {"mark": "restricted"})
    assert connector.rectify(ada, [Change("name", "Ada", before="Adda")]) == 1
    assert connector.rectify(ada, [Change("name", "Ada", before="Adda")]) == 0
    assert connector.restrict(ada, True) == 1
    assert [document for _name, document in documents(mongodb)] == [
        {"_id": 1, "user_id": "4", "name": "Ada", "restricted": True},
        {"_id": 2, "user_id": "42", "name": "Adda"},
    ]
    with pytest.raises(Refused):
        connector.rectify(ada, [Change("colour", "red")])
    with pytest.raises(Refused):
        mongodb.connector.restrict(ada, True)


def test_nothing_of_the_server_stands_in_an_error(mongodb: MongoPlace, ada: Identity) -> None:
    mongodb.data.options["shop", "notes"] = {"is_undeletable": True}
    mongodb.put("notes", {"_id": 1, "user_id": "4", "text": "secret words"})
    with pytest.raises(Refused) as refused:
        erase(mongodb.connector, ada)
    assert "IllegalOperation" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_what_hangs_on_a_document_that_became_somebody_elses_meanwhile_stays(
    talks: MongoPlace, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Eraser._hanging_on
    stored = talks.data.collection("shop", "talks")

    def changes_hands_first(self: Eraser, *of: Any) -> Any:
        next(one for one in stored if one["_id"] == 0)["owner"] = {"email": "ben@example.org"}
        return look(self, *of)

    monkeypatch.setattr(Eraser, "_hanging_on", changes_hands_first)
    assert erase(talks.with_rules(TALKS, MESSAGES), ada) == 4, "the other talk, with its messages"
    left = [document["talk"] for name, document in documents(talks) if name.startswith("messages/")]
    assert sorted(left) == [0, 0, 0, 1, 1, 1, 3, 3, 3]


@pytest.mark.parametrize("stop_after", [1, 2, 10**9])
def test_ids_of_parents_are_gone_through_a_page_at_a_time(
    mongodb: MongoPlace, ada: Identity, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in (exporting, "PAGE"), (matching, "IDS"), (erasing, "BATCH"):
        monkeypatch.setattr(*constant, 2)
    for number in range(5):
        mongodb.put("talks", {"_id": number, "owner": {"email": "ada@example.org"}})
        mongodb.put("messages", *({"_id": f"{number}-{n}", "talk": number} for n in range(3)))
        mongodb.put("likes", *({"_id": f"{number}-{n}", "message": f"{number}-{n}"} for n in range(3)))
    connector = mongodb.with_rules(TALKS, MESSAGES, {"collection": "likes", "field": "message", "parent": "messages"})
    files = exported(connector, ada, stop_after=stop_after)
    for name in ("02-messages.jsonl", "03-likes.jsonl"):
        ids = [json_util.loads(one)["_id"] for one in files[name].splitlines()]
        assert sorted(ids) == sorted(f"{number}-{n}" for number in range(5) for n in range(3))
    assert erase(connector, ada) == 35
    assert mongodb.everything() == {}
