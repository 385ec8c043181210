"""Keys that nothing names are destroyed, but never in a hurry and never in great numbers."""

from __future__ import annotations

import uuid
from datetime import timedelta
from hashlib import sha256

import pytest
from django.apps import apps
from django.conf import settings as site
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor, Role
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services
from apps.keys.errors import KeyDestroyed, KeyStoreDamaged, SweepChanged
from apps.keys.kinds import KeyKind
from apps.keys.models import Installation, Key
from apps.keys.selectors import waiting_keys
from apps.keys.services import Sweep, look_for_ownerless_keys, sweep_ownerless_keys, sweeping

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def named(monkeypatch):
    """The keys that rows of the site name, standing in for the columns of KEY_OWNERS."""
    ids: set[uuid.UUID] = set()
    monkeypatch.setattr(sweeping, "named_by_rows", lambda columns, key_ids: ids & set(key_ids))
    return ids


@pytest.fixture
def family(named):
    """Many keys that are in use: 1 % of them is more than one."""
    made = services.create_keys(KeyKind.SUBJECT, [uuid.uuid4() for _ in range(250)], parent=None)
    named.update(key.id for key in made)
    return made


def make_old(hours: float = 25) -> None:
    Key.objects.filter(destroyed_at=None).update(created_at=timezone.now() - timedelta(hours=hours))


def test_an_ownerless_key_is_destroyed_by_signed_intent_and_no_other(family, person):
    lost = person()
    make_old()
    assert sweep_ownerless_keys() == Sweep(destroyed=1)
    with pytest.raises(KeyDestroyed):
        services.open_key(lost.id)
    assert len(services.open_keys([key.id for key in family])) == 250
    assert details_of(Entry.objects.get(event="keys.intended")) == {
        "erased": [str(lost.id)],
        "reason": "ownerless",
        "kind": "subject",
    }
    assert sweep_ownerless_keys() == Sweep()


def test_a_young_key_may_still_get_its_owner(family, person):
    lost = person()
    make_old(hours=23)
    assert sweep_ownerless_keys() == Sweep()
    assert services.open_key(lost.id) == lost.key


def test_kinds_without_a_look_up_are_never_swept(family):
    lost = services.create_key(KeyKind.SUPPRESSION, owner=uuid.uuid4())
    secret = services.site_key("sessions")
    make_old()
    assert sweep_ownerless_keys() == Sweep()
    assert services.open_key(lost.id) == lost.key
    assert services.site_key("sessions") == secret


@pytest.mark.parametrize(("lost", "all_keys"), [(4, 250), (101, 20_000)])
def test_more_than_a_few_wait_for_a_person(family, person, monkeypatch, caplog, lost, all_keys):
    keys = [person() for _ in range(lost)]
    make_old()
    monkeypatch.setattr(sweeping, "MOST_SHARE", sweeping.MOST_SHARE * all_keys / 250)
    assert waiting_keys() == 0
    assert sweep_ownerless_keys() == Sweep(waiting=lost)
    assert waiting_keys() == lost, "a supervisor reads it until a person has looked"
    assert "without a person" in caplog.text
    assert services.open_key(keys[0].id) == keys[0].key
    with pytest.raises(SweepChanged):
        sweep_ownerless_keys(confirmed_by=Actor.command_line())
    assert services.open_key(keys[0].id) == keys[0].key
    shown = look_for_ownerless_keys().digest
    assert sweep_ownerless_keys(confirmed_by=Actor.command_line(), confirmed=shown) == Sweep(destroyed=lost)
    assert waiting_keys() == 0
    with pytest.raises(KeyDestroyed):
        services.open_key(keys[0].id)


def said(capsys, *arguments: str) -> str:
    capsys.readouterr()
    call_command("confirm_key_sweep", *arguments)
    return capsys.readouterr().out


def digest_of(*keys) -> str:
    return sha256(b"".join(sorted(key.id.bytes for key in keys))).hexdigest()


def test_a_person_looks_first_and_then_confirms_exactly_the_keys_they_saw(family, named, person, capsys):
    assert "No key is without an owner (250 keys live)" in said(capsys)
    lost = [person() for _ in range(4)] + [services.create_key(KeyKind.REQUEST, owner=uuid.uuid4())]
    make_old(30)
    Key.objects.filter(pk=lost[0].id).update(created_at=timezone.now() - timedelta(days=9))
    with pytest.raises(CommandError, match=f"--destroy {digest_of(*lost)}") as ended:
        said(capsys)
    assert ended.value.returncode == 3
    shown = capsys.readouterr().out
    assert "5 of 255 live keys (2.0%) are named by no row: 1 of kind request, 4 of kind subject" in shown
    assert digest_of(*lost) in shown
    assert f"between {timezone.now() - timedelta(days=9):%Y-%m-%d}" in shown
    assert services.open_keys([key.id for key in lost]), "looking destroys nothing"
    with pytest.raises(CommandError, match="not the keys that were shown"):
        said(capsys, "--destroy", "5")
    assert not Entry.objects.filter(event__in=[Event.KEY_SWEEP_CONFIRMED, Event.KEYS_INTENDED]).exists()
    assert "5 keys destroyed" in said(capsys, "--destroy", digest_of(*lost))
    for key in lost:
        with pytest.raises(KeyDestroyed):
            services.open_key(key.id)
    assert len(services.open_keys([key.id for key in family])) == 250
    confirmed = Entry.objects.get(event=Event.KEY_SWEEP_CONFIRMED)
    assert (confirmed.role, details_of(confirmed)) == (
        Role.COMMAND_LINE,
        {"keys": 5, "live": 255, "sha256": digest_of(*lost)},
    )
    assert confirmed.pk < min(Entry.objects.filter(event=Event.KEYS_INTENDED).values_list("pk", flat=True))


def test_as_many_keys_that_are_not_the_same_are_refused_and_shown(family, named, person, capsys):
    lost = [person() for _ in range(5)]
    make_old()
    shown = look_for_ownerless_keys().digest
    another = person()
    make_old()
    named.add(lost[0].id)
    with pytest.raises(CommandError, match="Nothing was destroyed"):
        said(capsys, "--destroy", shown)
    output = capsys.readouterr().out
    assert "5 of 256 live keys" in output and digest_of(*lost[1:], another) in output
    assert len(services.open_keys([key.id for key in [*lost, another]])) == 6
    assert not Entry.objects.filter(event__in=[Event.KEY_SWEEP_CONFIRMED, Event.KEYS_INTENDED]).exists()
    named.clear()
    named.update({key.id for key in family} | {another.id})
    assert look_for_ownerless_keys().digest == shown, "these are the ones that were shown"
    assert "5 keys destroyed" in said(capsys, "--destroy", shown)
    assert services.open_key(another.id) == another.key


def test_few_need_no_person_and_in_quarantine_or_after_a_restore_nobody_confirms(family, person, capsys, monkeypatch):
    person()
    make_old()
    assert "so few go with the next hourly sweep" in said(capsys)
    services.installation()
    Installation.objects.update(restored_at=timezone.now())
    with pytest.raises(CommandError, match="nothing is swept until"):
        said(capsys, "--destroy", look_for_ownerless_keys().digest)
    Installation.objects.update(restored_at=None)
    with monkeypatch.context() as closed:
        closed.setattr(quarantine, "reason", lambda: quarantine.Reason.LOG_BEHIND)
        with pytest.raises(CommandError, match="Nothing was done"):
            said(capsys, "--destroy", look_for_ownerless_keys().digest)
    assert Key.objects.filter(destroyed_at=None).count() == 251


def test_an_empty_records_database_destroys_nothing(family, named):
    """As when DATABASE_URL names the wrong one."""
    named.clear()
    make_old()
    assert sweep_ownerless_keys() == Sweep(waiting=250)
    assert len(services.open_keys([key.id for key in family])) == 250
    named.update(key.id for key in family)
    assert sweep_ownerless_keys() == Sweep()
    assert waiting_keys() == 0, "once the right database is named nothing waits any more"


def test_nothing_is_swept_while_a_restore_may_be_followed_by_another(family, person, settings):
    person()
    make_old()
    settings.KEYS_BACKUP_RETENTION_DAYS = 7
    services.installation()
    Installation.objects.update(restored_at=timezone.now() - timedelta(days=6), waiting_keys=7)
    assert sweep_ownerless_keys() == Sweep()
    assert waiting_keys() == 0, "what was found before the restore"
    Installation.objects.update(restored_at=timezone.now() - timedelta(days=8))
    assert sweep_ownerless_keys() == Sweep(destroyed=1)


def test_rows_below_a_tombstone_are_deleted_in_any_number(family, named, person, about, actor):
    ada = person()
    below = services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4() for _ in range(600)], parent=ada.id)
    still_named = below[0]
    named.update({ada.id, still_named.id})
    services.erase_keys([ada.id], about=about, actor=actor)
    make_old()
    assert sweep_ownerless_keys() == Sweep(purged=599)
    with pytest.raises(KeyDestroyed):
        services.open_key(still_named.id)
    with pytest.raises(KeyStoreDamaged):
        services.open_key(below[1].id)


def test_the_columns_of_the_settings_are_all_that_name_keys():
    """A new column that names keys must be listed, or its keys would be taken for ownerless."""
    listed = {column for columns in site.KEY_OWNERS.values() for column in columns}
    there = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.name == "key_id" or field.name.endswith("_key_id")
    }
    assert listed == there
    assert set(site.KEY_OWNERS) <= set(KeyKind.values)


def test_rows_that_name_keys_are_found_in_the_settings_columns():
    used, unused = uuid.uuid4(), uuid.uuid4()
    apps.get_model("records.Subject").objects.create(handle="a-handle", key_id=used)
    for kind, columns in site.KEY_OWNERS.items():
        expected = {used} if kind == "subject" else set()
        assert sweeping.named_by_rows(columns, [used, unused]) == expected
