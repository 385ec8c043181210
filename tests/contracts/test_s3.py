"""What only a bucket can do to us: versions, markers, unfinished uploads, locks, errors under HTTP 200."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from apps.locations.connectors.s3 import S3Connector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.reasons import Reason
from tests.contracts.places import S3Place, new_bucket

SCOPE = Scope()


@pytest.fixture(params=["moto", pytest.param("ceph", marks=pytest.mark.services)])
def server(request: Any) -> tuple[str, str, str]:
    if request.param == "moto":
        return request.getfixturevalue("moto_address"), "test", "test"
    gateway = request.getfixturevalue("ceph_gateway")
    return gateway.endpoint_url, gateway.access_key, gateway.secret_key


@pytest.fixture
def bucket(server: tuple[str, str, str]) -> S3Place:
    return new_bucket(*server)


@pytest.fixture
def locked_bucket(server: tuple[str, str, str]) -> S3Place:
    return new_bucket(*server, locked=True)


def erase(place: S3Place, who: Identity) -> int:
    return sum(progress.erased for progress in place.connector.erase(who, SCOPE, ""))


def test_old_versions_markers_and_unfinished_uploads_go_too(bucket: S3Place, ada: Identity) -> None:
    for text in (b"first", b"second"):
        bucket.put("users/4/a.txt", text)
    bucket.client.delete_object(Bucket=bucket.bucket, Key="users/4/a.txt")
    bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key="users/4/big")
    assert list(bucket.connector.find(ada, SCOPE)) == [], "a listing of current objects sees nothing"
    assert bucket.connector.remaining(ada, SCOPE).count == 4
    erase(bucket, ada)
    assert bucket.everything() == {}


def test_a_locked_object_is_blocked_until_its_date_and_the_rest_goes(locked_bucket: S3Place, ada: Identity) -> None:
    until = datetime.now(UTC) + timedelta(days=30)
    locked_bucket.client.put_object(
        Bucket=locked_bucket.bucket,
        Key="users/4/kept",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
    )
    locked_bucket.put("users/4/free", b"y")
    obstacle = locked_bucket.connector.preflight(ada, SCOPE)[0]
    assert (obstacle.reason, obstacle.until) == (Reason.OBJECT_LOCK, until.date())
    erase(locked_bucket, ada)
    left = locked_bucket.connector.remaining(ada, SCOPE)
    assert (left.count, left.reason, left.until) == (1, Reason.OBJECT_LOCK, until.date())


def test_governance_mode_is_bypassed_only_when_the_operator_says_so(locked_bucket: S3Place, ada: Identity) -> None:
    until = datetime.now(UTC) + timedelta(days=30)
    locked_bucket.client.put_object(
        Bucket=locked_bucket.bucket,
        Key="users/4/kept",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )
    erase(locked_bucket, ada)
    assert locked_bucket.connector.remaining(ada, SCOPE).reason == Reason.OBJECT_LOCK
    bypassing = S3Connector(locked_bucket.config | {"bypass_governance": True})
    list(bypassing.erase(ada, SCOPE, ""))
    assert bypassing.remaining(ada, SCOPE).count == 0


@pytest.mark.thorough
def test_many_objects_take_few_requests(bucket: S3Place, ada: Identity) -> None:
    for number in range(1100):
        bucket.put(f"users/4/{number}", b"x")
    calls: list[str] = []
    client = bucket.connector.client
    client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    assert erase(bucket, ada) == 1100
    assert calls.count("DeleteObjects") == 2
    assert len(calls) <= 7


def test_a_bucket_that_does_not_answer_is_unavailable(ada: Identity) -> None:
    config = {"bucket": "b", "templates": ["users/{user_id}/"], "access_key": "k", "secret_key": "s"}
    with pytest.raises(Unavailable):
        S3Connector(config | {"endpoint_url": "http://127.0.0.1:9"}).check()


def test_a_bucket_that_is_not_there_is_refused_without_the_provider_words(bucket: S3Place, ada: Identity) -> None:
    with pytest.raises(Refused) as refused:
        S3Connector(bucket.config | {"bucket": "habeas-nothing-here"}).remaining(ada, SCOPE)
    assert "habeas-nothing-here" not in str(refused.value)


@pytest.mark.services
def test_wrong_credentials_are_refused(ceph_gateway: Any) -> None:
    place = new_bucket(ceph_gateway.endpoint_url, ceph_gateway.access_key, ceph_gateway.secret_key)
    with pytest.raises(Refused):
        S3Connector(place.config | {"secret_key": "wrong"}).check()


def labelled(bucket: S3Place, source: str) -> S3Connector:
    label = {"label_name": "owner", "label_kind": "user_id", "label_prefix": "up/", "label_source": source}
    return S3Connector(bucket.config | {"templates": []} | label)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["tags", "metadata"])
def test_labels_find_each_version_and_leave_the_versions_of_others(
    bucket: S3Place, ada: Identity, ben: Identity, source: str
) -> None:
    def put(key: str, data: bytes, owner: str) -> None:
        label = {"Tagging": f"owner={owner}"} if source == "tags" else {"Metadata": {"owner": owner}}
        bucket.client.put_object(Bucket=bucket.bucket, Key=key, Body=data, **label)

    put("up/shared", b"Ada's first", "4")
    put("up/shared", b"Ben's second", "42")
    put("up/hers", b"Ada's", "4")
    put("other/hers", b"not below the path", "4")
    bucket.client.delete_object(Bucket=bucket.bucket, Key="up/hers")
    put("up/now", b"Ada's now", "4")
    connector = labelled(bucket, source)
    assert [item.name for item in connector.find(ada, SCOPE)] == ["up/now"]
    assert connector.requests_made >= 3
    exported = b"".join(chunk for entry in connector.export(ada, SCOPE, "") for chunk in entry.chunks)
    assert b"Ada's now" in exported
    assert b"Ben" not in exported
    assert connector.remaining(ada, SCOPE).count == 4
    list(connector.erase(ada, SCOPE, ""))
    assert connector.remaining(ada, SCOPE).count == 0
    assert sorted(name.split("#")[0] for name in bucket.everything()) == ["other/hers", "up/shared"]
    assert [item.name for item in connector.find(ben, SCOPE)] == ["up/shared"]


def test_an_inventory_finds_scattered_keys_and_one_that_is_not_there_is_a_case_for_a_person(
    bucket: S3Place, ada: Identity
) -> None:
    by_inventory = {"templates": [], "inventory": "meta/keys.csv", "inventory_kind": "user_id"}
    connector = S3Connector(bucket.config | by_inventory)
    with pytest.raises(Refused):
        connector.remaining(ada, SCOPE)
    bucket.put("meta/keys.csv", b"user_id,key\n4,free/a\n42,free/b\n4,free/long\n4,gone\n")
    for key in ("free/a", "free/b", "free/long", "free/long-not-hers"):
        bucket.put(key, b"x")
    bucket.put("free/a", b"again")
    assert sorted(item.name for item in connector.find(ada, SCOPE)) == ["free/a", "free/long"]
    list(connector.erase(ada, SCOPE, ""))
    assert connector.remaining(ada, SCOPE).count == 0
    left = sorted(name.split("#")[0] for name in bucket.everything())
    assert left == ["free/b", "free/long-not-hers", "meta/keys.csv"]


@pytest.mark.slow
def test_an_object_that_changes_between_two_pieces_is_begun_again_and_the_torn_one_is_said(
    bucket: S3Place, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.locations.objects.PIECE_SIZE", 4)
    bucket.put("users/4/large", b"old1old2")
    first = next(iter(bucket.connector.export(ada, SCOPE, "")))
    assert b"".join(first.chunks) == b"old1"
    bucket.put("users/4/large", b"new1new2")
    cursor, read = first.cursor, b""
    while entry := next(iter(bucket.connector.export(ada, SCOPE, cursor)), None):  # cut after every entry
        content, cursor = b"".join(entry.chunks), entry.cursor
        read += content if entry.name != "index.jsonl" else b""
        if b"changed" in content:
            assert entry.name == "index.jsonl"
    assert read == b"new1new2"


@pytest.mark.slow
def test_the_check_says_versions_lock_and_whether_it_may_delete(bucket: S3Place, locked_bucket: S3Place) -> None:
    before = bucket.everything()
    health = bucket.connector.check()
    facts = dict(health.facts)
    assert (health.problems, health.horizon_days) == ((), 0)
    assert (facts["Versions"], facts["Object Lock"], facts["Lifecycle"]) == ("on", "off", "none")
    assert bucket.everything() == before, "the test of the permission leaves nothing"
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 45}}}
    locked_bucket.client.put_object_lock_configuration(Bucket=locked_bucket.bucket, ObjectLockConfiguration=rule)
    health = locked_bucket.connector.check()
    assert health.horizon_days == 45
    assert "45 days" in " ".join(health.problems)
    assert S3Connector(locked_bucket.config | {"bypass_governance": True}).check().horizon_days == 0


def test_a_key_that_may_not_delete_is_found_out_beforehand(bucket: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**arguments: Any) -> dict[str, Any]:
        return {"Errors": [{"Key": "k", "Code": "AccessDenied"}]}

    monkeypatch.setattr(bucket.connector.client, "delete_objects", denied)
    assert "s3:DeleteObjectVersion is missing" in " ".join(bucket.connector.check().problems)


@pytest.mark.parametrize(
    ("call", "missing"),
    [("head_object", "s3:GetObject"), ("abort_multipart_upload", "s3:AbortMultipartUpload"), ("get_object_tagging", "s3:GetObjectTagging")],
)  # fmt: skip
def test_a_key_that_may_not_read_or_call_off_uploads_is_found_out_beforehand(
    bucket: S3Place, monkeypatch: pytest.MonkeyPatch, call: str, missing: str
) -> None:
    def denied(**arguments: Any) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, call)

    by_tags, by_paths = labelled(bucket, "tags"), S3Connector(bucket.config)
    assert (by_tags.check().problems, by_paths.check().problems) == ((), ())
    for connector in (by_tags, by_paths):
        monkeypatch.setattr(connector.client, call, denied)
    assert f"missing here: {missing}." in " ".join(by_tags.check().problems)
    assert (missing in " ".join(by_paths.check().problems)) == (call != "get_object_tagging")


def test_what_it_needs_is_said_with_what_locks_and_labels_need(moto_address: str) -> None:
    plain, locked = (new_bucket(moto_address, "test", "test", locked=locked) for locked in (False, True))

    def needs(connector: S3Connector) -> str:
        return dict(connector.check().facts)["Permissions it needs"]

    assert "s3:GetLifecycleConfiguration" in needs(plain.connector)
    assert "Retention" not in needs(plain.connector)
    assert "s3:GetObjectRetention, s3:GetObjectLegalHold" in needs(locked.connector)
    assert "Tagging" not in needs(labelled(plain, "metadata"))
    assert "s3:GetObjectVersionTagging" in needs(labelled(plain, "tags"))


def test_replication_and_lifecycle_are_read_and_a_replica_is_a_problem(moto_address: str) -> None:
    place, other = (new_bucket(moto_address, "test", "test") for _number in range(2))
    assert dict(place.connector.check().facts)["Replication"] == "off"
    rule = {"ID": "r", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{other.bucket}"}}  # fmt: skip
    replication = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]}
    place.client.put_bucket_replication(Bucket=place.bucket, ReplicationConfiguration=replication)
    days = {"ID": "l", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 90}}
    for rules, words in (([days], "1 rule"), ([days, days | {"ID": "m"}], "2 rules")):
        place.client.put_bucket_lifecycle_configuration(Bucket=place.bucket, LifecycleConfiguration={"Rules": rules})
        assert dict(place.connector.check().facts)["Lifecycle"] == words
    place.client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Suspended"})
    health = place.connector.check()
    facts = dict(health.facts)
    assert (facts["Replication"], facts["Lifecycle"], facts["Versions"]) == ("on", "2 rules", "suspended")
    assert any("add the other bucket as a place of its own" in problem for problem in health.problems)
    assert other.connector.check().problems == ()
