"""Backups of keys: whole or refused, of this installation, and never a way back for what was destroyed."""

from __future__ import annotations

import json
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import backups, services
from apps.keys.errors import BadBackup, KeyDestroyed
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Installation, Key

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.backup"


@pytest.fixture
def family(ada):
    """Ada's key, two conversations below it, and a key that the site has once."""
    services.site_key("sessions")
    return [ada, *services.create_keys(KeyKind.CONVERSATION, [uuid.uuid4(), uuid.uuid4()], parent=ada.id)]


def lose_everything() -> None:
    """What a broken disk does to the keys database."""
    for model in (Key, Epoch, Installation):
        model.objects.all().delete()


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [dict(row) for row in Key.objects.order_by("pk").values()]
    return [row | {"wrapped": bytes(row["wrapped"] or b"")} for row in found]


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_everything_comes_back_after_a_loss(file, family, ben, about, actor, capsys):
    services.erase_keys([ben.id], about=about, actor=actor)
    before, installation = rows(), services.installation().pk
    secret = services.site_key("sessions")
    call_command("backup_keys", str(file))
    assert "4 keys and 1 tombstones" in capsys.readouterr().out
    lose_everything()
    call_command("restore_keys", str(file))
    assert "4 keys and 1 tombstones restored" in capsys.readouterr().out
    assert rows() == before
    assert services.installation().pk == installation
    assert services.installation().restored_at is not None
    assert services.open_keys([key.id for key in family]) == {key.id: key.key for key in family}
    assert services.site_key("sessions") == secret
    with pytest.raises(KeyDestroyed):
        services.open_key(ben.id)


def test_a_repeat_changes_nothing(file, family):
    services.back_up_keys(file, actor=Actor.command_line())
    before = rows()
    assert services.restore_keys(file, actor=Actor.command_line()) == services.Restored()
    assert rows() == before


def test_the_file_is_its_owners_alone_and_holds_no_key_in_clear(file, family, master_keys):
    file.with_name(f"{file.name}.part").write_text("left by a crash")
    services.back_up_keys(file, actor=Actor.command_line())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_name(f"{file.name}.part").exists()
    content = file.read_bytes()
    [master_key] = [path.read_text().strip() for path in master_keys.iterdir()]
    for secret in [bytes.fromhex(master_key), *(key.key for key in family)]:
        assert secret not in content
        assert secret.hex().encode() not in content


def test_the_log_knows_of_backup_and_restore(file, family):
    written = services.back_up_keys(file, actor=Actor.command_line())
    lose_everything()
    services.restore_keys(file, actor=Actor.command_line())
    for event in (Event.KEYS_BACKED_UP, Event.KEYS_RESTORED):
        details = details_of(Entry.objects.get(event=event))
        assert details == {"keys": 4, "tombstones": 0, "sha256": written.sha256.hex()}


def test_a_tombstone_of_this_database_is_not_undone(file, family, ben, about, actor):
    services.back_up_keys(file, actor=actor)
    gone = services.erase_keys([ben.id], about=about, actor=actor)
    result = services.restore_keys(file, actor=actor)
    assert (result.keys, result.stay_destroyed) == (0, 1)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_key(ben.id)
    assert caught.value.destroyed_at == gone.destroyed_at


def test_what_only_the_log_knows_to_be_destroyed_is_not_brought_back(file, family, ben, about, actor):
    services.back_up_keys(file, actor=actor)
    gone = services.erase_keys([ben.id], about=about, actor=actor)
    lose_everything()
    result = services.restore_keys(file, actor=actor)
    assert (result.keys, result.tombstones, result.stay_destroyed) == (4, 1, 1)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_key(ben.id)
    assert caught.value.destroyed_at == gone.destroyed_at
    assert services.open_key(family[1].id) == family[1].key


def test_what_the_log_destroyed_and_another_restore_brought_back_is_buried_again(file, family, ben, about, actor):
    row = Key.objects.get(pk=ben.id)
    services.back_up_keys(file, actor=actor)
    services.erase_keys([ben.id], about=about, actor=actor)
    row.save()  # as restoring a dump of the keys database would
    assert services.open_key(ben.id) == ben.key
    assert services.restore_keys(file, actor=actor).tombstones == 1
    with pytest.raises(KeyDestroyed):
        services.open_key(ben.id)


def test_a_cancelled_intent_keeps_nothing_from_coming_back(file, ben, about, actor):
    services.back_up_keys(file, actor=actor)
    with transaction.atomic():
        services.cancel_intent(services.intend_destruction([ben.id], about=about, actor=actor), actor=actor)
    lose_everything()
    assert services.restore_keys(file, actor=actor).keys == 1
    assert services.open_key(ben.id) == ben.key


def test_a_key_of_an_intent_that_was_not_carried_out_yet_stays_gone(file, ben, about, actor):
    services.back_up_keys(file, actor=actor)
    with transaction.atomic():
        intent = services.intend_destruction([ben.id], about=about, actor=actor)
    lose_everything()
    services.restore_keys(file, actor=actor)
    with pytest.raises(KeyDestroyed) as caught:
        services.open_key(ben.id)
    assert caught.value.destroyed_at == intent.created_at


def test_a_tombstone_of_the_backup_buries_a_live_key(file, family, ben, about, actor):
    """The present database was itself restored from something older than the backup, and its log with it."""
    row = Key.objects.get(pk=ben.id)
    services.erase_keys([ben.id], about=about, actor=actor)
    services.back_up_keys(file, actor=actor)
    row.save()
    result = services.restore_keys(file, actor=actor)
    assert result.tombstones == 1
    with pytest.raises(KeyDestroyed):
        services.open_key(ben.id)


def test_keys_made_since_the_backup_stay(file, family, person, actor):
    services.back_up_keys(file, actor=actor)
    later = person()
    services.restore_keys(file, actor=actor)
    assert services.open_key(later.id) == later.key


def test_another_installations_backup_is_refused_unless_told(file, family, person, actor, capsys):
    services.back_up_keys(file, actor=actor)
    of_the_backup = services.installation().pk
    lose_everything()
    mine = person()
    own = services.installation().pk
    assert own != of_the_backup
    with pytest.raises(CommandError, match=r"of installation .* --foreign"):
        call_command("restore_keys", str(file))
    assert Key.objects.count() == 1
    assert services.installation().pk == own
    call_command("restore_keys", str(file), "--foreign")
    assert services.installation().pk == of_the_backup
    assert services.open_keys([mine.id, family[1].id]) == {mine.id: mine.key, family[1].id: family[1].key}


def test_a_second_site_key_is_refused(file, family, actor):
    services.back_up_keys(file, actor=actor)
    lose_everything()
    services.site_key("sessions")
    before = rows()
    with pytest.raises(BadBackup, match="into the new one"):
        services.restore_keys(file, actor=actor, foreign=True)
    assert rows() == before


def test_without_the_master_key_nothing_is_restored(file, family, actor, master_keys):
    services.back_up_keys(file, actor=actor)
    lose_everything()
    [path] = master_keys.iterdir()
    away = path.rename(path.with_suffix(".away"))
    with pytest.raises(BadBackup, match="put the file back"):
        services.restore_keys(file, actor=actor)
    assert not Key.objects.exists()
    assert not Epoch.objects.exists()
    away.rename(path)
    assert services.restore_keys(file, actor=actor).keys == 4


def test_keys_that_do_not_open_are_reported(file, family, ben, actor, capsys):
    """Below a root that opens there may still be a damaged one; and a lost root takes its children along."""
    Key.objects.filter(pk=family[1].id).update(wrapped=b"damaged")
    orphan = services.create_key(KeyKind.CONVERSATION, owner=uuid.uuid4(), parent=ben.id)
    Key.objects.filter(pk=ben.id).delete()
    services.back_up_keys(file, actor=actor)
    with pytest.raises(CommandError, match="2 keys of this database do not open"):
        call_command("restore_keys", str(file))
    assert set(services.damaged_keys()) == {family[1].id, orphan.id}


def test_what_is_below_a_tombstone_is_not_damaged(family, about, actor):
    services.erase_keys([family[0].id], about=about, actor=actor)
    assert list(services.damaged_keys()) == []


def test_every_changed_byte_of_a_file_is_found(file, family, ben, about, actor):
    services.erase_keys([ben.id], about=about, actor=actor)
    services.back_up_keys(file, actor=actor)
    good = file.read_bytes()
    summary = backups.check_backup(file)
    for place in range(0, len(good), 7):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(BadBackup):
            backups.check_backup(file)
    for size in range(0, len(good), 11):
        file.write_bytes(good[:size])
        with pytest.raises(BadBackup):
            backups.check_backup(file)
    file.write_bytes(good + b"{}\n")
    with pytest.raises(BadBackup):
        backups.check_backup(file)
    file.write_bytes(good)
    assert backups.check_backup(file) == summary


def rewrite(file: Path, records: list[dict]) -> None:
    """Write a file whose counts and SHA-256 agree, whatever it says."""
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    counts = {"keys": 0, "tombstones": 0} | {
        name: sum(1 for record in records if next(iter(record), "") == kind)
        for name, kind in (("keys", "key"), ("tombstones", "tombstone"))
    }
    digest = backups.hashlib.sha256(b"".join(lines)).hexdigest()
    file.write_bytes(b"".join(lines) + json.dumps(counts | {"sha256": digest}).encode() + b"\n")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda records: records[0].update(format="other"), "not a backup"),
        (lambda records: records[0].update(version=2), "reads version 1"),
        (lambda records: records[0].pop("installation"), "says too little"),
        (lambda records: records[0].update(installation="x"), "says too little"),
        (lambda records: records[0].update(created_at="2026-01-01"), "says too little"),
        (lambda records: records[1].pop("kind"), "says too little"),
        (lambda records: records[1].update(owner=5), "says too little"),
        (lambda records: records[1].update(wrapped="§"), "says too little"),
        (lambda records: records[1].update(wrapped=""), "does not open here"),
        (lambda records: records[1].update(created_at="yesterday"), "says too little"),
        (lambda records: records.pop(), "without its epoch"),
    ],
)
def test_a_file_that_says_too_little_is_refused(file, ada, actor, change, why):
    services.back_up_keys(file, actor=actor)
    records = lines_of(file)[:-1]
    rewrite(file, records)
    assert backups.check_backup(file).keys == 1
    change(records)
    rewrite(file, records)
    lose_everything()
    with pytest.raises(BadBackup, match=why):
        services.restore_keys(file, actor=actor)
    assert not Key.objects.exists()


def test_files_that_are_missing_or_cannot_be_written_are_named(tmp_path, ada):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("restore_keys", str(tmp_path / "nothing"))
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        call_command("backup_keys", str(tmp_path / "no folder" / "file"))


def test_a_disk_that_does_not_give_back_what_was_written_is_found(file, ada, monkeypatch, capsys):
    from apps.keys.services import backing_up

    real = backing_up.check_backup
    monkeypatch.setattr(backing_up, "check_backup", lambda path: backups.Summary(**vars(real(path)) | {"keys": 7}))
    with pytest.raises(CommandError, match="look at the disk"):
        call_command("backup_keys", str(file))
    assert not Entry.objects.filter(event=Event.KEYS_BACKED_UP).exists()


def test_a_retired_epoch_comes_back_as_such(file, ada, actor):
    Epoch.objects.update(retired_at=timezone.now())
    before = list(Epoch.objects.values())
    services.back_up_keys(file, actor=actor)
    lose_everything()
    services.restore_keys(file, actor=actor)
    assert list(Epoch.objects.values()) == before
