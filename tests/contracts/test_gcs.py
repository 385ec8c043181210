"""What only Google Cloud Storage can do to us: generations, holds, retention, soft delete, batches that fail in part."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from apps.locations.connectors.gcs import ConfigForm, GcsConnector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds_clouds import patient_no_longer

SCOPE = Scope()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsStandIn]:
    patient_no_longer(monkeypatch)
    server = GcsStandIn()
    yield server
    assert server.violations == []
    server.stop()


def connector(server: GcsStandIn, **more: object) -> GcsConnector:
    config = {"bucket": "bucket", "endpoint_url": server.address, "service_account": server.key()}
    return GcsConnector(config | {"templates": ["users/{user_id}/"]} | more)


def erase(place: GcsConnector, who: Identity) -> int:
    return sum(progress.erased for progress in place.erase(who, SCOPE, ""))


def test_every_generation_goes(server: GcsStandIn, ada: Identity) -> None:
    for text in (b"first", b"second", b"third"):
        server.put("users/4/a", text)
    server.put("users/42/a", b"Ben's")
    place = connector(server)
    assert [item.size for item in place.find(ada, SCOPE)] == [len(b"third")]
    assert place.remaining(ada, SCOPE).count == 3
    assert erase(place, ada) == 3
    assert [kept.name for kept in server.kept] == ["users/42/a"]


def test_what_is_gone_when_it_is_asked_for_again_is_counted(server: GcsStandIn) -> None:
    server.put("users/4/a", b"hers")
    place = connector(server)
    listed = list(place.below("users/4/"))
    assert place.delete(listed) == 1
    assert place.delete(listed) == 1


def test_soft_deleted_copies_are_said_with_the_day_they_end(server: GcsStandIn, ada: Identity) -> None:
    server.soft_delete_days = 7
    server.put("users/4/a", b"x")
    place = connector(server)
    assert place.check().horizon_days == 7
    erase(place, ada)
    left = place.remaining(ada, SCOPE)
    end = (datetime.now(UTC) + timedelta(days=7)).date() + timedelta(days=1)
    assert (left.count, left.reason, left.until) == (1, Reason.SOFT_DELETE, end)
    server.kept.clear()
    assert place.remaining(ada, SCOPE).count == 0


def test_a_hold_and_a_retention_policy_are_obstacles_and_the_rest_goes(server: GcsStandIn, ada: Identity) -> None:
    later = datetime.now(UTC) + timedelta(days=40)
    server.put("users/4/held", b"x", hold=True)
    server.put("users/4/kept", b"x", retained_until=later)
    server.put("users/4/over", b"x", retained_until=datetime.now(UTC) - timedelta(days=1))
    server.put("users/4/free", b"x")
    place = connector(server)
    assert {found.reason: found.until for found in place.preflight(ada, SCOPE)} == {
        Reason.LEGAL_HOLD: None, Reason.RETENTION_POLICY: later.date() + timedelta(days=1),
    }  # fmt: skip
    assert erase(place, ada) == 2
    left = place.remaining(ada, SCOPE)
    assert (left.count, left.reason) == (2, Reason.LEGAL_HOLD)


def test_the_bucket_says_policy_soft_delete_and_what_it_lacks(server: GcsStandIn) -> None:
    server.soft_delete_days = 30
    server.bucket |= {"retentionPolicy": {"retentionPeriod": str(86400 * 10)}, "defaultEventBasedHold": True}
    server.bucket |= {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}}
    health = connector(server).check()
    assert health.horizon_days == 40
    assert len(health.problems) == 2
    facts = {str(name): str(said) for name, said in health.facts}
    assert [facts[name] for name in ("Generations", "Soft delete", "Retention policy", "Lifecycle")] == [
        "kept", "30 days", "10 days", "1 rule",
    ]  # fmt: skip
    assert "ask whoever runs the project" in facts["Transfers to other buckets"]
    server.bucket, server.soft_delete_days, server.has_versions = {"name": "bucket"}, 0, False
    health = connector(server).check()
    assert (health.horizon_days, health.problems) == (0, ())
    facts = {str(name): str(said) for name, said in health.facts}
    assert [facts[name] for name in ("Generations", "Soft delete", "Retention policy", "Lifecycle")] == [
        "not kept", "off", "none", "none",
    ]  # fmt: skip
    server.permissions = ["storage.objects.list"]
    health = connector(server).check()
    assert health.horizon_days is None
    assert "storage.objects.delete" in health.problems[0]


@pytest.mark.parametrize(("rules", "words"), [(0, "none"), (1, "1 rule"), (2, "2 rules")])
def test_the_rules_of_a_lifecycle_are_counted_in_words(server: GcsStandIn, rules: int, words: str) -> None:
    rule = {"action": {"type": "Delete"}, "condition": {"age": 90}}
    server.bucket |= {"lifecycle": {"rule": [rule] * rules}}
    assert dict(connector(server).check().facts)["Lifecycle"] == words


def test_metadata_finds_generations_at_no_cost(server: GcsStandIn, ada: Identity) -> None:
    server.put("up/shared", b"Ada's", metadata={"owner": "4"})
    server.put("up/shared", b"Ben's", metadata={"owner": "42"})
    server.put("up/hers", b"Ada's", metadata={"owner": "4"})
    server.put("up/nobodys", b"x")
    place = connector(server, templates=[], label_name="owner", label_kind="user_id", label_prefix="up/")
    assert [item.name for item in place.find(ada, SCOPE)] == ["up/hers"]
    server.forget_calls()
    assert erase(place, ada) == 2
    assert len(server.calls) == 2, "one listing, one batch"
    assert place.requests_made == 3, "and the listing before"
    assert sorted(kept.data for kept in server.kept) == [b"Ben's", b"x"]


def test_a_large_object_is_read_in_parts_of_one_generation(
    server: GcsStandIn, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.locations.objects.PIECE_SIZE", 10)
    monkeypatch.setattr("apps.locations.connectors.gcs.READ_SIZE", 4)
    server.put("users/4/large", bytes(range(33)))
    read = b"".join(
        chunk
        for entry in connector(server).export(ada, SCOPE, "")
        if entry.name != "index.jsonl"
        for chunk in entry.chunks
    )
    assert read == bytes(range(33))


def test_an_inventory_that_is_not_there_is_refused(server: GcsStandIn, ada: Identity) -> None:
    place = connector(server, templates=[], inventory="keys.csv", inventory_kind="user_id")
    with pytest.raises(Refused):
        place.remaining(ada, SCOPE)
    server.put("keys.csv", b"key,user_id\nfree/a,4\n")
    server.put("free/a", b"x")
    server.put("free/ab", b"x")
    assert erase(place, ada) == 1
    assert sorted(kept.name for kept in server.kept) == ["free/ab", "keys.csv"]


def test_a_busy_bucket_is_unavailable_and_says_no_names(server: GcsStandIn, ada: Identity) -> None:
    server.put("users/4/secret name", b"x")
    server.busy = 100
    with pytest.raises(Unavailable) as error:
        connector(server).remaining(ada, SCOPE)
    assert "secret" not in str(error.value)


def test_a_key_that_is_none_is_said_in_the_form(server: GcsStandIn) -> None:
    wanted = {"bucket": "b", "templates": "users/{user_id}/"}
    assert "service_account" in ConfigForm(wanted | {"service_account": "not json"}).errors
    assert "service_account" in ConfigForm(wanted | {"service_account": "[]"}).errors
    assert ConfigForm(wanted | {"service_account": server.key()}).is_valid()
    assert ConfigForm(wanted).is_valid(), "then the workers' own account is taken"
