"""Who works on a rule, for how long, and what two people or two workers do at once."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import switch_location
from apps.records import services
from apps.records.copies import restoring, running, writing
from apps.records.copies.policies import approve_policy, change_policy, end_policy
from apps.records.copies.removing import doom_erased
from apps.records.errors import LostClaim, NotProposed
from apps.records.models import Conversation, CopyPolicy, CopyRun, Subject
from tests.locations.stores.conftest import Place
from tests.records.conftest import by
from tests.records.copies.conftest import MakePolicy, administrator, copied, due, give, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
SYSTEM = Actor.system()


def test_two_changes_at_once_keep_both(files_place: Place, make_policy: MakePolicy) -> None:
    policy = make_policy(files_place)
    first, second = CopyPolicy.objects.get(pk=policy.pk), CopyPolicy.objects.get(pk=policy.pk)
    change_policy(first, actor=SYSTEM, is_active=False)
    change_policy(second, actor=SYSTEM, every="hourly")
    policy.refresh_from_db()
    assert (policy.is_active, policy.every, policy.check_days) == (False, "hourly", 7)


def test_times_that_change_while_copies_are_written_hold_from_then_on(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy, write = make_policy(files_place), running.write_copy

    def slowly(*args: Any, **options: Any) -> Any:
        change_policy(CopyPolicy.objects.get(pk=policy.pk), actor=SYSTEM, every="hourly")
        return write(*args, **options)

    monkeypatch.setattr(running, "write_copy", slowly)
    copied(policy)
    policy.refresh_from_db()
    assert policy.next_copy_at is not None
    assert policy.next_copy_at < timezone.now() + timedelta(hours=1)


def test_a_rule_that_ends_without_copies_is_found_though_its_message_was_lost(
    files_place: Place, make_policy: MakePolicy
) -> None:
    policy, other = make_policy(files_place), make_policy(files_place, name="Others", target="others")
    copied(policy)
    copied(other)
    assert running.due_policies() == []
    end_policy(policy, actor=SYSTEM)
    assert running.due_policies() == [policy.pk]
    running.run_policy(policy.pk)
    assert running.due_policies() == []
    held = set(Location.objects.that_ever_held_data().values_list("pk", flat=True))
    assert policy.location_id not in held
    assert other.location_id in held


def test_a_place_that_holds_more_than_our_rows_say_is_looked_at_again_later(
    files_place: Place, make_policy: MakePolicy
) -> None:
    policy = make_policy(files_place)
    files_place.store().put(f"{policy.pk}/left", [b"x"])
    end_policy(policy, actor=SYSTEM)
    running.run_policy(policy.pk)
    assert running.due_policies() == []
    assert Location.objects.that_ever_held_data().filter(pk=policy.location_id).exists()
    files_place.store().delete([f"{policy.pk}/left"])
    CopyPolicy.objects.update(lease_until=timezone.now())
    running.run_policy(policy.pk)
    assert not Location.objects.that_ever_held_data().filter(pk=policy.location_id).exists()


def test_a_large_copy_keeps_its_claim_while_it_is_on_its_way(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1", files=3)
    monkeypatch.setattr(writing, "ASK_SECONDS", -1.0)
    policy, chunks = make_policy(files_place), writing._chunks

    def slow(*args: Any) -> Any:
        for chunk in chunks(*args):
            yield chunk
            CopyPolicy.objects.filter(pk=policy.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
            yield b""
            assert not running.run_policy(policy.pk)  # another worker that comes by finds it taken

    monkeypatch.setattr(writing, "_chunks", slow)
    assert copied(policy) == {"written": 1}


def test_a_worker_that_lost_its_claim_leaves_the_copy_to_the_other(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    monkeypatch.setattr(writing, "ASK_SECONDS", -1.0)

    def lost() -> None:
        raise LostClaim

    with pytest.raises(LostClaim):
        writing.write_copy(policy, files_place.store(), Conversation.objects.get(), still_ours=lost)
    assert there(files_place) == []
    monkeypatch.undo()
    assert copied(policy) == {"written": 1}


def test_two_workers_do_not_restore_from_one_rule_together(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    one, others = restoring.restore_one, []

    def meanwhile(*args: Any) -> None:
        others.append(restoring.run_restore(policy.pk, actor=SYSTEM))
        one(*args)

    monkeypatch.setattr(restoring, "restore_one", meanwhile)
    run = restoring.run_restore(policy.pk, actor=SYSTEM)
    assert run is not None
    assert (run.state, others) == ("done", [None])
    assert not restoring.is_restoring(policy)
    monkeypatch.undo()
    dead = CopyRun.objects.create(policy=policy, kind="restore", lease_until=timezone.now() - timedelta(seconds=1))
    assert restoring.run_restore(policy.pk, actor=SYSTEM) is not None
    dead.refresh_from_db()
    assert dead.state == "failed"


@pytest.mark.slow
def test_asking_about_many_copies_takes_no_more_questions_than_about_few(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    policy, numbers = make_policy(files_place), count()

    def asked() -> int:
        """Count the queries of looking through all copies of conversations that are not here any more, and restoring."""
        total = 0
        for work in (
            lambda: doom_erased(policy),
            lambda: list(restoring.copies_there(files_place.store(), "")),
        ):
            with CaptureQueriesContext(connections["default"]) as rows, CaptureQueriesContext(connections["keys"]) as k:
                work()
            total += len(rows) + len(k)
        return total

    give(ada, f"c{next(numbers)}")
    copied(policy)
    few = asked()
    give(ada, *(f"c{next(numbers)}" for _ in range(5)))
    copied(policy)
    Conversation.objects.update(key_id=ada.key_id)  # none is as it was copied
    assert asked() <= few + 2
    services.delete_all_conversations(ada, actor=by(ada))


def test_a_proposal_of_readable_copies_counts_only_from_somebody_who_still_may(
    files_place: Place, make_policy: MakePolicy
) -> None:
    """The service asks, whoever calls it."""
    policy, proposer = make_policy(files_place, form="json"), administrator()
    for has_left in (True, False):
        change_policy(policy, actor=SYSTEM, officer=proposer, is_active=True)
        User.objects.filter(pk=proposer).update(is_superuser=not has_left)
        if has_left:
            with pytest.raises(NotProposed):
                approve_policy(policy, officer=administrator(), actor=SYSTEM)
        else:
            approve_policy(policy, officer=administrator(), actor=SYSTEM)
        policy.refresh_from_db()
        assert (policy.is_active, policy.proposed_by is None) == (not has_left, has_left)


@pytest.mark.parametrize("off", ["destination", "location"])
def test_nothing_is_written_to_a_place_that_is_switched_off_and_what_is_erased_goes_there_all_the_same(
    ada: Subject, ben: Subject, files_place: Place, make_policy: MakePolicy, off: str
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    assert copied(policy) == {"written": 1}
    give(ben, "c2")
    switch_location(getattr(policy, off), enabled=False, actor=SYSTEM)
    due(policy, next_check_at=timezone.now())
    assert (running.due_policies(), running.run_policy(policy.pk)) == ([], False)
    assert len(there(files_place)) == 1
    services.delete_conversations(ada, [Conversation.objects.get(subject=ada).pk], actor=by(ada))
    assert running.due_policies() == [policy.pk]
    running.run_policy(policy.pk)
    assert there(files_place) == []
    switch_location(getattr(policy, off), enabled=True, actor=SYSTEM)
    assert copied(policy) == {"written": 1}


def test_a_place_that_is_switched_off_meanwhile_ends_the_run(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1", "c2", "c3")
    policy, write = make_policy(files_place), running.write_copy

    def last(*args: Any, **options: Any) -> Any:
        switch_location(policy.destination, enabled=False, actor=SYSTEM)
        return write(*args, **options)

    monkeypatch.setattr(running, "write_copy", last)
    assert copied(policy)["failure"] == 1
    assert CopyRun.objects.get(policy=policy).reason == "disabled"
