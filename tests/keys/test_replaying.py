"""What the log says of keys is true again after a restore: tombstones are made anew, what came back is replaced again."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.events import Event
from apps.audit.models import Entry, SiteState
from apps.audit.quarantine import Reason
from apps.audit.selectors import details_of, is_signed
from apps.audit.sequencer import log_size
from apps.audit.services import append, sequence
from apps.keys import selectors, services
from apps.keys.errors import KeyDestroyed
from apps.keys.kinds import KeyKind
from apps.keys.models import Installation, Key
from apps.keys.recognising import check_keys
from apps.keys.services import replaying
from apps.keys.services.installing import installation
from tests.keys.test_replacing import Person

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def copy_of(key_id: uuid.UUID) -> Key:
    """What a backup has of a key."""
    return Key.objects.get(pk=key_id)


def bring_back(*copies: Key) -> None:
    """Restore rows of the keys database."""
    for copy in copies:
        Key.objects.filter(pk=copy.pk).delete()
        Key.objects.bulk_create([copy])


def is_tombstone(key_id: uuid.UUID) -> bool:
    return Key.objects.filter(pk=key_id, destroyed_at__isnull=False).exists()


def test_erased_keys_that_came_back_or_are_missing_are_tombstones_again(person, ben, actor):
    back, missing, kept = person(), person(), person()
    copy = copy_of(back.id)
    for key in (back, missing, kept):
        services.erase_keys([key.id], about="", actor=actor)
    moment = copy_of(back.id).destroyed_at
    bring_back(copy)
    Key.objects.filter(pk=missing.id).delete()
    assert services.open_key(back.id) == back.key
    assert replaying.unburied_keys() == 2
    assert replaying.bury_erased() == 2
    assert replaying.unburied_keys() == replaying.bury_erased() == 0
    assert all(is_tombstone(key.id) for key in (back, missing, kept))
    assert copy_of(back.id).destroyed_at == moment  # the first time counts
    with pytest.raises(KeyDestroyed):
        services.open_key(back.id)
    assert services.open_key(ben.id) == ben.key


def test_a_replaced_key_that_came_back_is_named_with_all_that_was_removed_and_buried_once_it_is_replaced(
    actor, monkeypatch
):
    carla = Person()
    copy = copy_of(carla.first)
    carla.replace()
    assert replaying.returned_keys() == []
    bring_back(copy)
    [one] = replaying.returned_keys()
    assert (one.key_id, one.kind, one.owner) == (carla.first, KeyKind.SUBJECT, carla.row.pk)
    assert one.removed == (carla.gone.id,)
    assert one.moment <= timezone.now()
    emptied: list[str] = []
    monkeypatch.setattr(replaying, "truncate_journal", emptied.append)
    replaying.bury_returned(one)
    assert emptied == ["keys"]
    assert is_tombstone(carla.first) and replaying.returned_keys() == []
    replaying.bury_returned(one)
    assert carla.all_opens()


def test_a_key_of_nobody_that_came_back_is_not_replaced_again(actor):
    carla = Person()
    copy = copy_of(carla.first)
    carla.replace()
    copy.owner = None
    bring_back(copy)
    assert replaying.returned_keys() == []


def test_lost_keys_are_declared_so_by_a_signed_intent(actor, ben):
    lost = [uuid.uuid4(), uuid.uuid4()]
    replaying.declare_lost(lost, actor=actor)
    assert all(is_tombstone(key_id) for key_id in lost)
    intent = Entry.objects.get(event=Event.KEYS_INTENDED)
    assert is_signed(intent)
    assert details_of(intent) | {"erased": sorted(map(str, lost)), "reason": "lost"} == details_of(intent)
    assert details_of(Entry.objects.get(event=Event.KEYS_DESTROYED))["destroyed"] == 2
    assert details_of(Entry.objects.get(event=Event.KEYS_DESTROYED))["already"] == 0
    assert services.open_key(ben.id) == ben.key


def test_many_lost_keys_take_several_intents(actor, monkeypatch):
    monkeypatch.setattr(replaying, "MOST_KEYS", 2)
    replaying.declare_lost([uuid.uuid4() for _ in range(5)], actor=actor)
    counts = [len(details_of(entry)["erased"]) for entry in Entry.objects.filter(event=Event.KEYS_INTENDED)]
    assert sorted(counts) == [1, 2, 2]
    assert Key.objects.filter(destroyed_at__isnull=False).count() == 5


def test_keys_are_told_apart_by_what_still_opens_them(person, actor, monkeypatch):
    monkeypatch.setattr(replaying, "IDS_A_QUERY", 2)  # several questions
    ada, erased, orphaned = person(), person(), person()
    below = {
        key.id: services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=key.id)[0].id
        for key in (ada, erased, orphaned)
    }
    services.erase_keys([erased.id], about="", actor=actor)
    Key.objects.filter(pk=orphaned.id).delete()
    unknown = uuid.uuid4()
    found = replaying.standing_of([ada.id, erased.id, orphaned.id, unknown, *below.values()])
    assert found.destroyed == {erased.id, below[erased.id]}
    assert found.lost == {orphaned.id, below[orphaned.id], unknown}


def test_the_key_of_an_owner_is_the_newest_that_lives(actor):
    owner = uuid.uuid4()
    assert replaying.living_key_of(owner, KeyKind.SUBJECT) is None
    older = services.create_key(KeyKind.SUBJECT, owner=owner)
    newer = services.create_key(KeyKind.SUBJECT, owner=owner)
    Key.objects.filter(pk=older.id).update(created_at=timezone.now() - timedelta(days=1))
    assert replaying.living_key_of(owner, KeyKind.SUBJECT) == newer.id
    assert replaying.living_key_of(owner, KeyKind.ARCHIVE) is None
    Key.objects.filter(pk=newer.id).update(replaces=older.id)  # not in service yet
    assert replaying.living_key_of(owner, KeyKind.SUBJECT) == older.id
    services.erase_keys([older.id], about="", actor=actor)
    assert replaying.living_key_of(owner, KeyKind.SUBJECT) is None


def test_a_restore_is_noted_and_a_new_log_is_read_from_its_beginning(ada):
    sequence()
    assert check_keys() == ""
    assert installation().log_size == SiteState.objects.get().keys_seen == log_size()
    replaying.begin_new_log_here()
    assert installation().log_size == SiteState.objects.get().keys_seen == 0
    assert check_keys() == "" and SiteState.objects.get().keys_seen == log_size()
    assert Installation.objects.get().restored_at is None
    replaying.note_restored()
    assert Installation.objects.get().restored_at is not None and SiteState.objects.get().keys_seen == 0


def test_keys_that_have_seen_less_of_the_log_than_the_records_remember_are_behind(ada):
    sequence()
    assert check_keys() == ""
    quarantine.note_keys_seen(log_size() + 1)
    assert check_keys() == Reason.KEYS_BEHIND


def test_an_outcome_whose_intent_the_log_does_not_have_proves_nothing_against_the_keys(ada, actor):
    sequence()
    with transaction.atomic():
        append(Event.KEYS_DESTROYED, about="", actor=actor, intent=b"i" * 32, destroyed=1, already=0)
    sequence()
    assert check_keys() == ""


def test_staff_see_the_newest_master_keys_with_what_stands_in_the_way(ada, actor, tmp_path):
    services.roll_master_key(actor=actor)
    newest, older = selectors.master_keys()
    assert (newest.keys, older.keys) == (1, 0)
    assert [one.code for one in newest.obstacles] and [one.code for one in older.obstacles]
    assert not newest.may_propose and older.may_propose
    proposal = services.propose_destruction([older.epoch.pk], officer=uuid.uuid4(), actor=actor)
    assert not selectors.master_keys()[1].may_propose
    services.withdraw_proposal(proposal.pk, actor=actor)
    assert selectors.master_keys()[1].may_propose
    older.epoch.refresh_from_db()
    older.epoch.destroyed_at = timezone.now()
    older.epoch.save()
    assert not selectors.master_keys()[1].may_propose
    assert selectors.master_keys()[1].obstacles == []
