"""A roll: every live key under a new master key, while keys are made, opened and destroyed."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services, tasks
from apps.keys.epochs import begin_epoch, current_epoch
from apps.keys.errors import InQuarantine, KeyDestroyed, MasterKeyUnreachable
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Key
from apps.keys.services import creating, rolling
from tests.keys.crashing import die, each_crash, fail
from tests.keys.test_replacing import Person

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

SYSTEM = Actor.system()


def roll():
    return services.roll_master_key(actor=SYSTEM)


def scheduled(**more) -> services.Rolled:
    rolled = services.roll_if_due(**more)
    assert rolled is not None
    return rolled


def make_old(days: float) -> None:
    Epoch.objects.filter(retired_at=None).update(created_at=timezone.now() - timedelta(days=days))


def rolls() -> list[dict]:
    return [details_of(entry) for entry in Entry.objects.filter(event=Event.MASTER_KEY_ROLLED).order_by("id")]


def test_every_live_key_is_wrapped_anew_and_opens_to_the_same(ada, ben):
    site = services.site_key("sessions")
    gone = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
    services.erase_keys([gone.id], about="", actor=SYSTEM)
    below = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=ada.id)
    old, before = current_epoch(), dict(Key.objects.values_list("pk", "wrapped"))
    rolled = roll()
    assert (rolled.begun, rolled.rewrapped, rolled.replaced, rolled.emptied) == (True, 3, 0, [old.pk])
    assert services.open_keys([ada.id, ben.id, below[0].id]) == {key.id: key.key for key in (ada, ben, below[0])}
    assert services.site_key("sessions") == site
    with pytest.raises(KeyDestroyed):
        services.open_key(gone.id)
    changed = {pk for pk, wrapped in Key.objects.values_list("pk", "wrapped") if wrapped != before[pk]}
    assert changed == set(Key.objects.filter(parent_id=None, destroyed_at=None).values_list("pk", flat=True))
    old.refresh_from_db()
    assert old.retired_at is not None
    assert old.emptied_at is not None
    assert old.retired_at <= old.emptied_at
    assert rolls() == [
        {
            "epoch": str(rolled.epoch),
            "emptied": [str(old.pk)],
            "rewrapped": 3,
            "replaced": 0,
            "damaged": 0,
            "waiting": 0,
        }
    ]
    begun = details_of(Entry.objects.get(event=Event.MASTER_KEY_BEGUN))
    assert begun == {"epoch": str(rolled.epoch), "retired": [str(old.pk)], "provider": "file"}


def test_a_key_below_which_something_was_destroyed_is_replaced_and_no_other(ada):
    carla, dora = Person(), Person()
    services.replace_key(dora.first, actor=SYSTEM)
    dora_key = dora.key_id()
    rolled = roll()
    assert rolled.replaced == 1
    assert carla.key_id() != carla.first
    assert carla.all_opens()
    assert dora.key_id() == dora_key
    assert services.open_key(ada.id) == ada.key


def test_what_is_destroyed_after_the_roll_began_waits_for_the_next(ada):
    roll()
    carla = Person()
    assert scheduled().replaced == 0
    assert carla.key_id() == carla.first
    assert roll().replaced == 1


def test_a_frozen_person_is_rewrapped_and_replaced_when_the_erasure_is_called_off():
    carla = Person()
    type(carla.row).objects.update(frozen_at=timezone.now())
    rolled = roll()
    assert (rolled.replaced, rolled.waiting, rolled.rewrapped) == (0, 1, 1)
    assert carla.all_opens()
    assert len(rolled.emptied) == 1
    type(carla.row).objects.update(frozen_at=None)
    assert scheduled().replaced == 1
    assert carla.key_id() != carla.first


def test_keys_that_do_not_open_are_counted_and_keep_their_epoch(ada, ben, master_keys):
    old = current_epoch()
    Key.objects.filter(pk=ada.id).update(wrapped=b"\x01" * 105)
    carla = Person()
    Key.objects.filter(pk=carla.chats[0].id).update(wrapped=b"\x01" * 105)
    rolled = roll()
    assert (rolled.damaged, rolled.rewrapped, rolled.emptied) == (2, 2, [])
    assert services.open_key(ben.id) == ben.key
    old.refresh_from_db()
    assert old.emptied_at is None
    with pytest.raises(CommandError, match="2 keys do not open") as error:
        call_command("roll_master_key")
    assert error.value.returncode == 4


def test_a_row_that_changes_while_it_is_wrapped_is_not_overwritten(ada, ben, monkeypatch):
    real = rolling.wrap_under_epoch

    def destroy_meanwhile(rows, keys, epoch):
        services.erase_keys([ada.id], about="", actor=SYSTEM)
        real(rows, keys, epoch)

    monkeypatch.setattr(rolling, "wrap_under_epoch", destroy_meanwhile)
    assert roll().rewrapped == 1
    with pytest.raises(KeyDestroyed):
        services.open_key(ada.id)


def test_a_row_destroyed_between_reading_and_opening_is_no_damage(ada, ben, monkeypatch):
    row = Key.objects.select_related("epoch").get(pk=ada.id)
    row.wrapped = b"as it was before"
    assert rolling._unwrap([row]) == ({}, set())
    row.wrapped = Key.objects.get(pk=ada.id).wrapped
    assert rolling._unwrap([row]) == ({ada.id: ada.key}, set())


def test_nothing_is_saved_under_an_epoch_that_was_retired_meanwhile(ada, monkeypatch):
    real = rolling.wrap_under_epoch

    def retire_meanwhile(rows, keys, epoch):
        real(rows, keys, epoch)
        Epoch.objects.filter(pk=epoch.pk).update(retired_at=timezone.now())

    monkeypatch.setattr(rolling, "wrap_under_epoch", retire_meanwhile)
    assert roll().rewrapped == 0
    assert services.open_key(ada.id) == ada.key


def test_a_new_key_never_comes_under_a_retired_epoch(ada, person, monkeypatch):
    real = creating.wrap_under_epoch

    def roll_meanwhile(rows, keys, epoch):
        real(rows, keys, epoch)
        monkeypatch.setattr(creating, "wrap_under_epoch", real)
        roll()

    monkeypatch.setattr(creating, "wrap_under_epoch", roll_meanwhile)
    late = person()
    assert Key.objects.get(pk=late.id).epoch == current_epoch()
    assert services.open_key(late.id) == late.key


def test_the_schedule_rolls_when_the_days_are_over(ada, settings):
    first = current_epoch()
    settings.MASTER_KEY_ROLL_DAYS = 7
    make_old(6.9)
    tasks.tend_master_keys()
    assert current_epoch() == first
    make_old(7.1)
    settings.MASTER_KEY_ROLL_DAYS = 0
    assert scheduled().begun is False
    settings.MASTER_KEY_ROLL_DAYS = 7
    tasks.tend_master_keys()
    assert current_epoch() != first
    assert scheduled().begun is False
    assert Epoch.objects.count() == 2


def test_a_site_without_keys_has_nothing_to_roll():
    assert services.roll_if_due() is None
    assert not Epoch.objects.exists()


def test_a_run_of_the_schedule_stops_when_its_time_is_up_and_the_next_goes_on(person, settings, monkeypatch):
    monkeypatch.setattr(rolling, "BATCH", 1)
    people = [person() for _ in range(3)]
    carla = Person()
    make_old(8)
    runs = [scheduled(seconds=-1) for _ in range(6)]
    assert [run.is_whole for run in runs] == [False] * 4 + [True] * 2
    assert [run.replaced for run in runs] == [1, 0, 0, 0, 0, 0]
    assert [run.rewrapped for run in runs] == [0, 1, 1, 1, 0, 0]
    assert carla.all_opens()
    assert services.open_keys([key.id for key in people]) == {key.id: key.key for key in people}


def test_trouble_of_the_log_or_a_provider_is_tried_again_by_the_schedule(ada, monkeypatch, caplog):
    for error in (NotSigned("no"), MasterKeyUnreachable("no"), OperationalError("no")):
        monkeypatch.setattr(tasks, "roll_if_due", lambda error=error: (_ for _ in ()).throw(error))
        tasks.tend_master_keys()
        assert type(error).__name__ in caplog.text
    monkeypatch.setattr(rolling, "begin_epoch", lambda: (_ for _ in ()).throw(MasterKeyUnreachable("no")))
    with pytest.raises(CommandError, match="repeat"):
        call_command("roll_master_key")


def test_nothing_is_rolled_or_destroyed_in_quarantine(ada, monkeypatch):
    monkeypatch.setattr(quarantine, "reason", lambda: "log_behind")
    for work in (roll, services.roll_if_due, lambda: services.destroy_master_keys(actor=SYSTEM)):
        with pytest.raises(InQuarantine):
            work()
    assert Epoch.objects.count() == 1


def test_the_command_says_what_it_did(ada, capsys):
    call_command("roll_master_key")
    assert "a new epoch was begun; 1 keys wrapped anew" in capsys.readouterr().out
    begin_epoch()
    call_command("roll_master_key")
    assert "an unfinished roll was finished" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize("end", [die, fail])
def test_no_crash_of_a_roll_loses_a_key(end, ben):
    people = [Person()]
    crashes = 0
    for _ in each_crash(roll, end):
        crashes += 1
        carla = people[0]
        assert carla.all_opens()
        assert services.open_key(ben.id) == ben.key
        roll()
        assert carla.all_opens()
        assert services.open_key(ben.id) == ben.key
        assert carla.key_id() != carla.first
        assert not Key.objects.filter(destroyed_at=None, parent_id=None).exclude(epoch=current_epoch()).exists()
        assert not Key.objects.filter(replaces__isnull=False).exists()
        people[0] = Person()
    assert crashes >= 30


@pytest.mark.thorough
def test_rolls_in_a_loop_beside_everything_else():
    """Threads make, open and destroy keys, and write for people, while the master key rolls again and again."""
    people = [Person() for _ in range(2)]
    stop, troubles = threading.Event(), []

    def forever(work):
        def run():
            try:
                while not stop.is_set():
                    work()
            except Exception as error:  # noqa: BLE001  (shown by the test)
                troubles.append(error)
            finally:
                connections.close_all()

        return threading.Thread(target=run)

    def make_and_destroy():
        made = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
        assert services.open_key(made.id) == made.key
        services.erase_keys([made.id], about="", actor=SYSTEM)

    def chat():
        person = people[0]
        while True:
            try:
                [made] = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=person.key_id())
                break
            except KeyDestroyed:  # replaced since the row was read
                continue
        assert services.open_key(made.id) == made.key
        services.erase_keys([made.id], about=person.row.handle, actor=SYSTEM)

    def read():
        assert all(person.all_opens() for person in people)

    threads = [forever(work) for work in (make_and_destroy, chat, read)]
    for thread in threads:
        thread.start()
    try:
        replaced = sum(roll().replaced for _ in range(4))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert troubles == []
    roll()
    assert all(person.all_opens() for person in people)
    assert replaced >= 2
    assert not Key.objects.filter(destroyed_at=None, parent_id=None).exclude(epoch=current_epoch()).exists()
