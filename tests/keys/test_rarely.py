"""What happens to keys seldom: work of two that meets in the middle, and a provider that says when a key is gone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import transaction

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of, index_of
from apps.audit.services import wait_until_signed
from apps.keys import selectors, services
from apps.keys.errors import InQuarantine, KeyStoreDamaged
from apps.keys.kinds import KeyKind
from apps.keys.models import Key
from apps.keys.providers.file import FileProvider
from apps.keys.services import destroying, ending, replacing
from apps.keys.services.installing import installation
from tests.keys.test_ending import approve, destroy, old, propose  # noqa: F401
from tests.keys.test_replacing import Person

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def test_of_several_keys_one_that_an_erasure_took_meanwhile_is_passed_over(ada, ben):
    carla = Person()
    services.erase_keys([ada.id], about="", actor=Actor.system())
    replaced, waiting, damaged = replacing.replace_several([ada.id, carla.first], actor=Actor.system())
    assert [one.old for one in replaced] == [carla.first]
    assert waiting == damaged == set()
    assert carla.all_opens() and services.open_key(ben.id) == ben.key


def test_a_replacement_whose_new_key_nobody_owns_waits_and_destroys_nothing(ada):
    carla = Person()
    _old, new = replacing._begin(carla.first)
    Key.objects.filter(pk=new).update(owner=None)
    replaced, waiting, damaged = replacing.replace_several([carla.first], actor=Actor.system())
    assert (replaced, waiting, damaged) == ([], {carla.first}, set())
    assert services.open_key(carla.first)


def test_the_command_says_when_a_master_key_is_gone_for_good(old, monkeypatch, capsys):  # noqa: F811
    real = FileProvider.destroy

    def destroy(self, reference):
        real(self, reference)
        return datetime(2030, 1, 2, 3, 4, tzinfo=UTC)

    monkeypatch.setattr(FileProvider, "destroy", destroy)
    approve(propose(old))
    call_command("destroy_master_keys")
    assert f"{old}: destroyed; gone for good at 2030-01-02 03:04 UTC" in capsys.readouterr().out
    outcome = Entry.objects.get(event=Event.MASTER_KEYS_DESTROYED)
    assert details_of(outcome)["gone_by"] == "2030-01-03"  # a day on which it is gone in every zone


def test_no_master_key_is_destroyed_in_quarantine_or_inside_a_transaction(old, monkeypatch):  # noqa: F811
    approve(propose(old))
    for alias in ("default", "keys"):
        with transaction.atomic(alias), pytest.raises(RuntimeError, match="durable"):
            destroy()
    with monkeypatch.context() as patch, pytest.raises(InQuarantine):
        patch.setattr(quarantine, "reason", lambda: "log_behind")
        destroy()
    assert destroy().destroyed == [old]


def test_a_key_of_a_kind_that_nobody_moves_is_not_replaced(ada):
    archive = services.create_key(KeyKind.ARCHIVE, owner=uuid.uuid4())
    replaced, waiting, damaged = replacing.replace_several([archive.id], actor=Actor.system())
    assert (replaced, waiting, damaged) == ([], {archive.id}, set())


def test_no_intent_is_written_for_a_key_that_is_lost(ada, actor, events):
    with pytest.raises(KeyStoreDamaged):
        services.erase_keys([ada.id, uuid.uuid4()], about="", actor=actor)
    assert events() == [] and services.open_key(ada.id) == ada.key


def test_nothing_is_destroyed_inside_a_transaction_that_may_be_rolled_back(ada, actor, events):
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        services.erase_keys([ada.id], about="", actor=actor)
    assert events() == []
    with transaction.atomic():
        intent = services.intend_destruction([ada.id], about="", actor=actor)
    wait_until_signed(intent)
    with transaction.atomic("keys"), pytest.raises(RuntimeError, match="durable"):
        services.destroy_keys([ada.id], intent=intent)
    assert services.open_key(ada.id) == ada.key


def test_the_keys_note_the_newest_intent_that_they_have_carried_out(ada, actor):
    """So a keys database restored alone is seen to be behind."""
    assert installation().log_size == 0
    services.erase_keys([ada.id], about="", actor=actor)
    intent = Entry.objects.filter(event=Event.KEYS_INTENDED).latest("pk")
    assert installation().log_size == (index_of(intent) or 0) + 1
    carla = Person()
    carla.replace()
    assert installation().log_size == (index_of(carla.intents()[-1]) or 0) + 1


def test_the_journal_is_emptied_after_each_end_of_a_key(ada, actor, monkeypatch):
    emptied: list[str] = []
    monkeypatch.setattr(destroying, "truncate_journal", emptied.append)
    services.erase_keys([ada.id], about="", actor=actor)
    assert emptied == ["keys"]
    carla = Person()
    del emptied[:]
    carla.replace()
    assert emptied == ["keys"]


def test_a_replacement_that_breaks_off_before_its_outcome_is_gone_on_with(monkeypatch, events):
    def killed(*_, **__):
        raise KeyboardInterrupt

    carla = Person()
    before = len(events())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(replacing, "record_destruction", killed)
        carla.replace()
    tombstone = Key.objects.get(pk=carla.first)
    assert tombstone.destroyed_at is not None and events()[before:] == ["keys.intended"]
    assert carla.replace().destroyed_at == tombstone.destroyed_at  # the first time counts
    assert events()[before:] == ["keys.intended", "keys.destroyed"]
    assert carla.all_opens()


def test_it_is_gone_on_with_by_the_name_of_the_new_key_too_although_the_person_is_frozen_by_then(monkeypatch, events):
    def killed(*_, **__):
        raise KeyboardInterrupt

    carla = Person()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(replacing, "record_destruction", killed)
        carla.replace()
    type(carla.row).objects.update(frozen_at=carla.row.created_at)
    new = carla.key_id()
    assert services.needs_replacing(new)
    done = services.replace_key(new, actor=Actor.system())
    assert (done.old, done.new, events()[-1]) == (carla.first, new, "keys.destroyed")
    assert not services.needs_replacing(new)


def test_the_outcome_of_a_master_key_is_written_once_though_the_row_was_not(old, monkeypatch):  # noqa: F811
    real = ending._record

    def killed(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    approve(propose(old))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ending, "_record", killed)
        destroy()
    old.refresh_from_db()
    assert old.destroyed_at is None and Entry.objects.filter(event=Event.MASTER_KEYS_DESTROYED).exists()
    assert destroy().destroyed == [old]
    assert Entry.objects.filter(event=Event.MASTER_KEYS_DESTROYED).count() == 1


def test_keys_that_open_nothing_are_told_from_those_that_do(ada, ben, person, actor, monkeypatch):
    monkeypatch.setattr(selectors, "IDS_A_QUERY", 2)  # several questions
    gone, lost = person(), uuid.uuid4()
    below = {
        key.id: services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4()], parent=key.id)[0].id for key in (ada, gone)
    }
    services.erase_keys([gone.id], about="", actor=actor)
    found = selectors.destroyed_among([ada.id, ben.id, gone.id, lost, *below.values()])
    assert found == {gone.id, below[gone.id]}


def test_staff_see_open_proposals_the_policy_and_the_newest_backups(old, tmp_path, actor):  # noqa: F811
    assert selectors.current_proposals() == ([], None)
    proposal = propose(old)
    policy = services.propose_policy(officer=uuid.uuid4(), actor=actor)
    assert selectors.current_proposals() == ([proposal], policy)
    services.withdraw_proposal(policy.pk, actor=actor)
    approve(proposal)
    destroy()
    assert selectors.current_proposals() == ([], None)
    made = services.back_up_keys(tmp_path / "newer", actor=actor)
    newest, before = selectors.newest_backups()
    assert newest.digest == made.sha256.hex() != before.digest and newest.begun_at > before.begun_at
    assert selectors.newest_backups(1) == [newest]


def test_only_live_keys_with_a_name_are_named(ada, actor):
    first = services.named_key(KeyKind.BLIND_INDEX, "b")
    second = services.named_key(KeyKind.BLIND_INDEX, "a")
    services.named_key(KeyKind.SITE, "c")
    found = selectors.live_named_keys([KeyKind.BLIND_INDEX, KeyKind.SUBJECT])
    assert [(one.kind, one.name) for one in found] == [("blind_index", "a"), ("blind_index", "b")]
    assert first != second
    services.erase_keys([found[0].id], about="", actor=actor)
    assert [one.name for one in selectors.live_named_keys([KeyKind.BLIND_INDEX])] == ["b"]


def test_neither_a_tombstone_nor_a_key_that_is_not_there_is_among_the_live(ada, ben, actor):
    services.erase_keys([ada.id], about="", actor=actor)
    assert selectors.live_among([ada.id, ben.id, uuid.uuid4()]) == [ben.id]
