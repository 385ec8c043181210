"""What only a bucket can do to us: versions, markers, unfinished uploads, locks, errors under HTTP 200."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
