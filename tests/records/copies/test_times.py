"""When a rule for copies is due: an hour or a day after it was, after check_days to read again, soon after a failure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import current_app

from apps.audit.actors import Actor
from apps.locations.errors import Unavailable
from apps.records import tasks
from apps.records.copies import running
from apps.records.copies.policies import change_policy
from apps.records.models import CopyPolicy, CopyRun, Subject
from tests.clock import Clock
from tests.locations.stores.conftest import Place
from tests.records.copies.conftest import MakePolicy, give, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
PERIODS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """What the schedule starts each minute, its messages carried out at once; returns how many rules were woken."""
    monkeypatch.setattr(tasks, "poke_copies", lambda policy_id: tasks.run_copies(str(policy_id)))
    return current_app.tasks[settings.CELERY_BEAT_SCHEDULE["copies"]["task"]]


def times(policy: CopyPolicy) -> tuple[datetime | None, datetime | None]:
    policy.refresh_from_db()
    return policy.next_copy_at, policy.next_check_at


def runs() -> list[str]:
    return list(CopyRun.objects.order_by("started_at", "kind").values_list("kind", flat=True))


@pytest.mark.parametrize("every", PERIODS)
def test_the_next_copies_are_due_an_hour_or_a_day_after_the_last_and_not_a_second_before(
    ada: Subject, files_place: Place, make_policy: MakePolicy, clock: Clock, beat: Any, every: str
) -> None:
    give(ada, "c1")
    policy, begun = make_policy(files_place, every=every, check_days=0), clock.at
    assert beat() == 1
    assert times(policy) == (begun + PERIODS[every], None)
    give(ada, "c2")
    clock.at = begun + PERIODS[every] - SECOND
    assert (beat(), len(there(files_place))) == (0, 1)
    clock.at += SECOND
    assert (beat(), len(there(files_place))) == (1, 2)
    assert times(policy) == (begun + 2 * PERIODS[every], None)


@pytest.mark.parametrize("days", [1, 30])
def test_copies_are_read_again_after_as_many_days_as_the_rule_says_and_then_again(
    ada: Subject, files_place: Place, make_policy: MakePolicy, clock: Clock, beat: Any, days: int
) -> None:
    give(ada, "c1")
    policy, begun, wait = make_policy(files_place, check_days=days), clock.at, timedelta(days=days)
    assert times(policy)[1] == begun + wait
    beat()
    CopyPolicy.objects.update(next_copy_at=begun + 10 * wait)
    clock.at = begun + wait - SECOND
    assert (beat(), runs()) == (0, ["copy"])
    clock.at += SECOND
    assert (beat(), runs()) == (1, ["copy", "check"])
    assert times(policy)[1] == begun + 2 * wait


def test_after_a_failure_it_is_tried_again_in_ten_minutes_and_then_as_ever(
    ada: Subject, files_place: Place, make_policy: MakePolicy, clock: Clock, beat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place, check_days=0)
    with monkeypatch.context() as patched:
        patched.setattr(running, "store_of_policy", away)
        beat()
    assert times(policy) == (clock.at + running.AGAIN, None)
    assert CopyRun.objects.get().state == "failed"
    clock.at += running.AGAIN - SECOND
    assert (beat(), there(files_place)) == (0, [])
    clock.at += SECOND
    assert (beat(), len(there(files_place))) == (1, 1)
    assert times(policy) == (clock.at + PERIODS["daily"], None)


def away(policy: CopyPolicy) -> Any:
    raise Unavailable("it does not answer")


def test_who_wants_copies_every_hour_does_not_wait_for_the_day_to_end(
    ada: Subject, files_place: Place, make_policy: MakePolicy, clock: Clock, beat: Any
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place, check_days=0)
    beat()
    change_policy(policy, every="hourly", actor=Actor.system())
    assert times(policy) == (clock.at + PERIODS["hourly"], None)
    change_policy(policy, every="daily", actor=Actor.system())
    assert times(policy) == (clock.at + PERIODS["hourly"], None), "what is due sooner stays so"
