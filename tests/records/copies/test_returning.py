"""What is brought back after a restore comes in batches that end, however many copies there are and whoever dies meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.locations.errors import Refused
from apps.records.copies import restoring, returning
from apps.records.copies.restoring import run_restore
from apps.records.copies.returning import bring_back, bring_back_everything, due_returns
from apps.records.errors import Contention
from apps.records.models import Conversation, Copy, CopyPolicy, CopyRun, Message, Subject
from tests.locations.stores.conftest import Place
from tests.records.copies.conftest import MakePolicy, copied, give, there
from tests.records.copies.test_workers import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
COUNT = 5


class Killed(BaseException):
    """As a worker ends that is told to by the machine."""


@pytest.fixture
def policy(ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch) -> CopyPolicy:
    """Five conversations that were copied and are lost here, as are the rows of their copies; a batch is one copy."""
    give(ada, *(f"c{number}" for number in range(COUNT)))
    rule = make_policy(files_place)
    copied(rule)
    Message.objects.all().delete()
    Conversation.objects.all().delete()
    Copy.objects.all().delete()
    monkeypatch.setattr(returning, "BATCH_SECONDS", 0.0)
    bring_back_everything()
    return rule


def runs() -> list[CopyRun]:
    return list(CopyRun.objects.filter(kind="restore").order_by("started_at"))


def lease_ends() -> None:
    CopyRun.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))


def again_now() -> None:
    assert due_returns() == [], "in ten minutes"
    CopyPolicy.objects.filter(bring_back_at__isnull=False).update(bring_back_at=timezone.now())


def test_each_batch_goes_on_where_the_one_before_ended(policy: CopyPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    real = restoring.restore_one

    def note(store: Any, name: Any, *others: Any) -> None:
        taken.append(str(name))
        real(store, name, *others)

    monkeypatch.setattr(restoring, "restore_one", note)
    for number in range(1, COUNT + 1):
        assert due_returns() == [policy.pk]
        assert bring_back(policy.pk), "there may be more"
        assert Conversation.objects.count() == number
        assert [(run.state, run.counts["restored"]) for run in runs()] == [("running", number)]
        assert not Entry.objects.filter(event=Event.COPIES_RESTORED).exists()
    assert not bring_back(policy.pk)
    assert taken == sorted(taken) and len(set(taken)) == COUNT, "each copy was read once"
    assert [(run.state, run.counts) for run in runs()] == [
        ("done", {"restored": COUNT, "already_held": 0, "failed": 0, "shut": 0, "later": 0})
    ]
    entry = details_of(Entry.objects.get(event=Event.COPIES_RESTORED))
    assert (entry["conversations"], entry["messages"], entry["failed"]) == (COUNT, 2 * COUNT, 0)
    assert due_returns() == [] and not bring_back(policy.pk), "once"
    policy.refresh_from_db()
    assert (policy.bring_back_at, policy.bring_back) == (None, {})


@pytest.mark.parametrize("when", ["before it is written", "after it was written"])
def test_a_worker_that_is_killed_repeats_one_copy_and_loses_none(
    policy: CopyPolicy, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real = restoring.restore_one

    def killed(*arguments: Any) -> None:
        if when.startswith("after"):
            real(*arguments)
        raise Killed

    for number in range(COUNT):
        with monkeypatch.context() as dying, pytest.raises(Killed):
            dying.setattr(restoring, "restore_one", killed)
            bring_back(policy.pk)
        assert due_returns() == [], "its lease has not ended yet"
        lease_ends()
        assert bring_back(policy.pk)
        assert Conversation.objects.count() == number + 1
    assert not bring_back(policy.pk)
    [run] = runs()
    assert (run.state, run.counts["restored"] + run.counts["already_held"]) == ("done", COUNT)


def test_a_copy_at_which_every_worker_dies_does_not_keep_the_others(
    policy: CopyPolicy, files_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly, real, deaths = sorted(there(files_place))[1], restoring.restore_one, 0

    def some_die(store: Any, name: Any, *others: Any) -> None:
        if str(name) == deadly:
            raise Killed
        real(store, name, *others)

    monkeypatch.setattr(restoring, "restore_one", some_die)
    while due_returns():
        try:
            bring_back(policy.pk)
        except Killed:
            deaths += 1
            lease_ends()
    assert deaths == returning.MOST_TRIES
    assert Conversation.objects.count() == COUNT - 1
    assert [(run.state, run.counts["failed"], run.counts["later"]) for run in runs()] == [("done", 1, 0)]


def test_a_copy_that_the_place_refuses_to_give_does_not_keep_the_others_and_is_asked_for_again(
    policy: CopyPolicy, files_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, real = sorted(there(files_place))[1], restoring.restore_one

    def refuse(store: Any, name: Any, *others: Any) -> None:
        if str(name) == kept:
            raise Refused("You may not read this.")
        real(store, name, *others)

    with monkeypatch.context() as refusing:
        refusing.setattr(restoring, "restore_one", refuse)
        assert bring_back(policy.pk)
        for _time in range(1, returning.MOST_TRIES):
            assert not bring_back(policy.pk)
            assert (runs()[-1].state, runs()[-1].reason) == ("failed", "refused")
            again_now()
        assert not bring_back(policy.pk), "this batch brought nothing back: wait"
        again_now()
        while due_returns():
            bring_back(policy.pk)
    assert Conversation.objects.count() == COUNT - 1
    assert (runs()[-1].state, runs()[-1].counts["restored"], runs()[-1].counts["later"]) == ("done", COUNT - 1, 1)
    again_now()
    while due_returns():
        bring_back(policy.pk)
    assert Conversation.objects.count() == COUNT
    assert (runs()[-1].counts["restored"], runs()[-1].counts["already_held"]) == (1, COUNT - 2), "from that one on"
    policy.refresh_from_db()
    assert policy.bring_back_at is None


def test_when_nothing_can_be_opened_just_now_the_next_batch_waits(
    policy: CopyPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(*_arguments: Any, **_named: Any) -> None:
        raise Contention

    with monkeypatch.context() as away:
        away.setattr(restoring, "store_conversations", not_now)
        for _copy in range(COUNT):
            assert not bring_back(policy.pk)
            again_now()
        assert not bring_back(policy.pk)
    again_now()
    while due_returns():
        bring_back(policy.pk)
    assert Conversation.objects.count() == COUNT


def test_somebody_who_restores_by_hand_between_two_batches_does_not_end_it(policy: CopyPolicy) -> None:
    assert bring_back(policy.pk)
    by_hand = run_restore(policy.pk, actor=SYSTEM)
    assert by_hand is not None and by_hand.counts["restored"] == COUNT - 1
    while due_returns():
        bring_back(policy.pk)
    assert [run.state for run in runs()] == ["failed", "done", "done"]
    assert runs()[-1].counts == {"restored": 1, "already_held": COUNT - 1, "failed": 0, "shut": 0, "later": 0}


def test_what_is_begun_anew_while_a_worker_is_at_it_begins_at_the_beginning(
    policy: CopyPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoring.restore_one

    def another_restore(*arguments: Any) -> None:
        real(*arguments)
        bring_back_everything()

    assert bring_back(policy.pk)
    with monkeypatch.context() as restored:
        restored.setattr(restoring, "restore_one", another_restore)
        assert not bring_back(policy.pk)
    policy.refresh_from_db()
    assert policy.bring_back == {}
    while due_returns():
        bring_back(policy.pk)
    assert (Conversation.objects.count(), runs()[-1].counts["already_held"]) == (COUNT, 2)


def test_a_copy_that_somebody_changed_brings_nothing_back(policy: CopyPolicy, files_place: Place) -> None:
    changed, *_others = sorted(there(files_place))
    data = bytearray(b"".join(files_place.store().get(changed)))
    data[-20] ^= 1
    files_place.store().put(changed, [bytes(data)])
    while due_returns():
        bring_back(policy.pk)
    assert Conversation.objects.count() == COUNT - 1
    assert (runs()[-1].counts["restored"], runs()[-1].counts["failed"]) == (COUNT - 1, 1)
