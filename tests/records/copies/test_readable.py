"""Readable copies in files, buckets and databases of each kind: read back, checked, and gone with the person."""

from __future__ import annotations

import csv
import io

import orjson
import pytest

from apps.locations.contract import Scope
from apps.locations.registry import connector_for
from apps.records.models import Subject
from apps.records.subjects import identity_of
from tests.locations.stores.conftest import Place
from tests.records.copies.conftest import MakePolicy, checked, copied, give, there
from tests.records.copies.test_copies import content

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
READABLE_IN = (
    "files_place",
    "sqlite_place",
    pytest.param("mongo_place", marks=pytest.mark.slow),
    pytest.param("s3_place", marks=pytest.mark.slow),
    pytest.param("postgres_place", marks=pytest.mark.services),
    pytest.param("mariadb_place", marks=pytest.mark.services),
)


@pytest.mark.parametrize("form", ["json", "txt", "csv"])
@pytest.mark.parametrize("kind", READABLE_IN)
def test_readable_copies_say_what_was_said_and_go_with_their_person(
    ada: Subject, ben: Subject, form: str, kind: str, request: pytest.FixtureRequest, make_policy: MakePolicy
) -> None:
    place: Place = request.getfixturevalue(kind)
    give(ada, "c1 日记", files=1)
    policy = make_policy(place, form=form)
    assert copied(policy) == {"written": 1}
    assert checked(policy) == {"ok": 1}
    said = content(place, is_text=True)
    assert [name.rpartition(".")[2] for name in there(place)] == [form]
    assert "question c1 日记" in said.decode()
    if form == "json":
        [one] = orjson.loads(said)
        assert one["title"] == "title c1 日记"
        assert len(one["mapping"]) == 3
    elif form == "csv":
        head, *rows = csv.reader(io.StringIO(said.decode("utf-8-sig")))
        assert [["question c1 日记" in row, "answer c1 日记" in row] for row in rows] == [[True, False], [False, True]]
        assert {len(row) for row in rows} == {len(head)}
    else:
        assert said.decode().index("question c1 日记") < said.decode().index("answer c1 日记")
    give(ben, "c1")
    assert copied(policy) == {"written": 1}
    connector, who = connector_for(policy.location), identity_of(ada)
    list(connector.erase(who, Scope(), ""))
    assert connector.remaining(who, Scope()).count == 0
    assert [str(ben.pk) in name for name in there(place)] == [True]
    assert b"question c1" in content(place, is_text=True)
    assert "日记" not in content(place, is_text=True).decode()
