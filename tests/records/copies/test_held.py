"""Copies that their place may not let go yet: a lock keeps them and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.locations.contract import Scope
from apps.locations.errors import Blocked
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.locations.stores import s3, try_out
from apps.records import services
from apps.records.copies import removing, running, writing
from apps.records.models import Copy, Subject
from apps.records.subjects import identity_of
from tests.contracts.places import S3Place, new_bucket
from tests.locations.stores.conftest import Place
from tests.records.conftest import by, conversation
from tests.records.copies.conftest import MakePolicy, copied, current, give, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
TODAY = datetime.now(UTC).date()
LATER = datetime.now(UTC) + timedelta(days=30)


@pytest.fixture
def bucket(moto: str) -> S3Place:
    return new_bucket(moto, "test", "test", locked=True)


@pytest.fixture
def place(bucket: S3Place) -> Place:
    return Place("s3", bucket.config)


def lock(bucket: S3Place, name: str, *, until: datetime = LATER) -> None:
    kept = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    which: dict[str, Any] = {"Bucket": bucket.bucket, "Key": f"habeas_copies/{name}"}
    bucket.client.put_object_retention(**which, Retention=kept, BypassGovernanceRetention=True)


def change(subject: Subject, name: str) -> None:
    parsed = conversation(name, f"question {name}", f"answer {name}", "and more", title=f"title {name}")
    services.store_conversations(subject, [parsed], actor=by(subject))


def test_what_is_held_keeps_no_other_name(bucket: S3Place, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "DELETE_LIMIT", 1)
    for name in ("a", "b", "c"):
        place.store().put(name, [b"x"])
    lock(bucket, "a")
    lock(bucket, "b")
    with pytest.raises(Blocked) as error:
        place.store().delete(["a", "b", "c"])
    assert (error.value.reason, error.value.until) == (Reason.OBJECT_LOCK, LATER.date())
    assert error.value.held == {"a": LATER.date(), "b": LATER.date()}
    assert there(place) == ["a", "b"]


def test_an_old_copy_that_is_locked_stops_no_rule_and_goes_on_its_day(
    ada: Subject, bucket: S3Place, place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(place)
    assert copied(policy) == {"written": 2}
    old = {copy.object_name for copy in current(policy)}
    locked = min(old)
    lock(bucket, locked)
    change(ada, "c1")
    change(ada, "c2")
    assert copied(policy) == {"written": 2}
    assert copied(policy) == {}, "the two before are doomed now: one goes, the other is held"
    assert set(there(place)) & old == {locked}
    held = Copy.objects.get(object_name=locked)
    assert held.doomed_at is not None
    assert held.held_until == LATER.date()
    assert policy.pk not in running.due_policies()

    lock(bucket, locked, until=datetime.now(UTC) - timedelta(seconds=1))
    Copy.objects.filter(pk=held.pk).update(held_until=TODAY)
    assert policy.pk in running.due_policies()
    running.run_policy(policy.pk)
    assert set(there(place)) & old == set()
    assert not Copy.objects.filter(pk=held.pk).exists()


def test_an_erasure_takes_all_that_is_not_locked_and_says_until_when_the_rest_stays(
    ada: Subject, bucket: S3Place, place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "BATCH", 1)
    give(ada, "c1", "c2", "c3")
    policy = make_policy(place)
    copied(policy)
    locked = min(there(place))
    lock(bucket, locked)
    connector, who = connector_for(policy.location), identity_of(ada)
    [obstacle] = connector.preflight(who, Scope())
    assert (obstacle.reason, obstacle.count, obstacle.until) == (Reason.OBJECT_LOCK, 1, LATER.date())

    with pytest.raises(Blocked) as error:
        list(connector.erase(who, Scope(), ""))
    assert (error.value.reason, error.value.until) == (Reason.OBJECT_LOCK, LATER.date())
    assert there(place) == [locked]
    left = connector.remaining(who, Scope())
    assert (left.count, left.reason, left.until) == (1, Reason.OBJECT_LOCK, LATER.date())

    lock(bucket, locked, until=datetime.now(UTC) - timedelta(seconds=1))
    list(connector.erase(who, Scope(), ""))
    assert connector.remaining(who, Scope()).count == 0
    assert not Copy.objects.filter(subject_id=ada.pk).exists()


def keep_everything(bucket: S3Place) -> None:
    days = {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}, "ObjectLockEnabled": "Enabled"}
    bucket.client.put_object_lock_configuration(Bucket=bucket.bucket, ObjectLockConfiguration=days)


def test_what_changed_while_it_was_copied_waits_for_its_day_and_stops_nothing(
    ada: Subject, bucket: S3Place, place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_everything(bucket)
    give(ada, "c1", "c2")
    policy = make_policy(place)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_is_kept", lambda *_: False)
        assert copied(policy) == {"skipped": 2}
    assert Copy.objects.filter(doomed_at__isnull=False, held_until__gt=TODAY).count() == 2
    assert copied(policy) == {"written": 2}


def test_a_trial_says_whether_a_place_lets_go(bucket: S3Place, place: Place) -> None:
    assert try_out(place.store())
    keep_everything(bucket)
    assert not try_out(place.store())
