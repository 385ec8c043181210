"""Backups of the keys database, and reading one in again.

A backup may bring back a key that was lost, never one that was destroyed: neither where this database has its tombstone,
nor where the log has the intent to destroy it, which is the tombstone that lies outside this database (DESIGN §3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.services import append
from apps.keys.backups import Summary, check_backup, read_rows, write_backup
from apps.keys.errors import BadBackup, ForeignInstallation, KeyDestroyed, KeyStoreDamaged
from apps.keys.intents import intended_keys
from apps.keys.journal import truncate_journal
from apps.keys.models import Backup, Epoch, Installation, Key
from apps.keys.services.destroying import bury
from apps.keys.services.installing import installation
from apps.keys.services.opening import open_keys
from apps.keys.wrapping import unwrap_rows

BATCH = 500

T = TypeVar("T")


@dataclass(frozen=True)
class Restored:
    """What reading a backup in did to the database."""

    keys: int = 0  # brought back
    tombstones: int = 0  # brought back, or put in the place of a live key
    stay_destroyed: int = 0  # live in the backup, but destroyed since

    def __add__(self, other: Restored) -> Restored:
        return Restored(
            self.keys + other.keys, self.tombstones + other.tombstones, self.stay_destroyed + other.stay_destroyed
        )


def back_up_keys(path: Path, *, actor: Actor) -> Summary:
    """Write a verified backup of the keys database. It holds wrapped keys and tombstones, and never a master key."""
    # One statement is one snapshot; the epochs are read after it, so that each key in the file has its own there too.
    keys, epochs = Key.objects.order_by("pk").iterator(2000), Epoch.objects.order_by("created_at").iterator()
    rows: Iterable[Key | Epoch] = chain(keys, epochs)
    written = write_backup(path, installation().pk, rows)
    if check_backup(path) != written:
        raise BadBackup(f"{path} cannot be read back as it was written: look at the disk")
    _record(Event.KEYS_BACKED_UP, actor, written.keys, written.tombstones, written)
    Backup.objects.create(
        sha256=written.sha256, keys=written.keys, tombstones=written.tombstones, begun_at=written.created_at
    )
    return written


def restore_keys(path: Path, *, actor: Actor, foreign: bool = False) -> Restored:
    """Read a backup into this database; a repeat changes nothing. Keys that are live here stay as they are.

    Raises BadBackup (nothing changed) when the file is damaged, or does not open under the master keys that are here;
    ForeignInstallation when this database has keys of another installation, unless `foreign`.

    A key that was replaced since the backup comes back, as other keys of the backup open only under it: the site then
    stands in quarantine until `replay_tombstones` has replaced it again (DESIGN §3).
    """
    summary = check_backup(path)
    _check_installation(summary.installation, foreign=foreign)
    _check_names(path)
    destroyed = destroyed_for_good()
    destroyed |= _below_tombstones(path, destroyed)
    _check_opens(path, destroyed)
    with transaction.atomic("keys"):
        Epoch.objects.bulk_create(list(_epochs_in(path)), ignore_conflicts=True)
        _refuse_ended_epochs(path, destroyed)
        Epoch.objects.filter(destroyed_at=None).update(emptied_at=None)  # keys may come back under any of them
        Installation.objects.all().delete()
        Installation.objects.create(pk=summary.installation, restored_at=timezone.now())
    result = Restored()
    for batch in _batches(_keys_in(path)):
        result += _restore_batch(batch, destroyed)
    result += bury_intended(destroyed)
    truncate_journal("keys")
    quarantine.note_keys_seen(0)  # whoever restores counts what is lost
    if foreign:
        quarantine.adopt_installation(summary.installation)
    _record(Event.KEYS_RESTORED, actor, result.keys, result.tombstones, summary)
    return result


def damaged_keys() -> Iterator[UUID]:
    """Open every live key, and yield those that do not open. What is below a tombstone is destroyed, not damaged."""
    for batch in _batches(Key.objects.filter(destroyed_at=None).order_by("pk").iterator(2000)):
        ids = [row.pk for row in batch]
        try:
            open_keys(ids)
        except (KeyDestroyed, KeyStoreDamaged):
            yield from filter(_is_damaged, ids)


def _is_damaged(key_id: UUID) -> bool:
    try:
        open_keys([key_id])
    except KeyDestroyed:
        return False
    except KeyStoreDamaged:
        return True
    return False


def _check_installation(backed_up: UUID, *, foreign: bool) -> None:
    if not foreign and Key.objects.exists() and installation().pk != backed_up:
        raise ForeignInstallation(
            f"the backup is of installation {backed_up}, this database of {installation().pk}; if its keys belong here, "
            "say --foreign"
        )


def _check_names(path: Path) -> None:
    """Refuse to put a second key beside one that the site has once."""
    ours = {(row.kind, row.name): row.pk for row in Key.objects.exclude(name="")}
    for row in _keys_in(path):
        if row.name and ours.get((row.kind, row.name), row.pk) != row.pk:
            raise BadBackup(
                f"this database has since made a {row.kind} key {row.name!r} of its own: move the database away, run "
                "migrate, and restore into the new one"
            )


def _check_opens(path: Path, destroyed: dict[UUID, datetime]) -> None:
    """Refuse a backup whose keys, those that would be brought back, do not open under the master keys that are here."""
    epochs = {epoch.pk: epoch for epoch in _epochs_in(path)}
    for batch in _batches(_keys_in(path)):
        roots = [row for row in _absent(batch, destroyed) if row.parent_id is None]
        for row in roots:
            if row.epoch_id not in epochs:
                raise BadBackup(f"{path} has a key without its epoch")
            row.epoch = epochs[row.epoch_id]
        try:
            unwrap_rows(roots, [])
        except KeyStoreDamaged as error:
            raise BadBackup(f"{path} does not open here: {error}") from None


def _refuse_ended_epochs(path: Path, destroyed: dict[UUID, datetime]) -> None:
    """Refuse a key under a master key whose destruction has begun here; asked under the lock that marks one."""
    ended = set(Epoch.objects.select_for_update().filter(intent_entry__isnull=False).values_list("pk", flat=True))
    if any(row.epoch_id in ended for batch in _batches(_keys_in(path)) for row in _absent(batch, destroyed)):
        raise BadBackup(f"{path} is too old: the master key of some of its keys is destroyed, or about to be")


def _restore_batch(batch: list[Key], destroyed: dict[UUID, datetime]) -> Restored:
    with transaction.atomic("keys"):
        tombstones = [row for row in batch if row.destroyed_at]
        here = set(_present(batch))
        buried = sum(bury([row.pk], row.destroyed_at) for row in tombstones if row.destroyed_at and row.pk in here)
        new_tombstones = [row for row in tombstones if row.pk not in here]
        new_keys = _absent(batch, destroyed)
        Key.objects.bulk_create(new_tombstones + new_keys)
        dead = Key.objects.filter(pk__in=here - {row.pk for row in tombstones}, destroyed_at__isnull=False).count()
    never = sum(1 for row in batch if not row.destroyed_at and row.pk in destroyed and row.pk not in here)
    return Restored(len(new_keys), len(new_tombstones) + buried, dead + never)


def _absent(batch: list[Key], destroyed: dict[UUID, datetime]) -> list[Key]:
    """Return the live keys of the backup that this database does not have and the log has not destroyed."""
    here = set(_present(batch))
    return [row for row in batch if not row.destroyed_at and row.pk not in here and row.pk not in destroyed]


def _present(batch: list[Key]) -> Collection[UUID]:
    return Key.objects.filter(pk__in=[row.pk for row in batch]).values_list("pk", flat=True)


def destroyed_for_good() -> dict[UUID, datetime]:
    """Return what the log says is destroyed and no replay needs any more: what was erased, and when."""
    return {one.key_id: one.moment for one in intended_keys() if not one.is_replaced}


def _below_tombstones(path: Path, destroyed: dict[UUID, datetime]) -> dict[UUID, datetime]:
    """Return the keys of the backup that stand below a destroyed one: they count as destroyed with it."""
    gone = dict(destroyed)
    gone |= {row.pk: row.destroyed_at for row in _keys_in(path) if row.destroyed_at}
    for batch in _batches({row.parent_id for row in _keys_in(path) if row.parent_id} - set(gone)):
        here = Key.objects.filter(pk__in=batch, destroyed_at__isnull=False).values_list("pk", "destroyed_at")
        gone |= {key_id: moment for key_id, moment in here if moment}
    return {row.pk: gone[row.parent_id] for row in _keys_in(path) if row.parent_id in gone and row.pk not in destroyed}


def bury_intended(destroyed: dict[UUID, datetime]) -> Restored:
    """Make a tombstone of every key that the log has destroyed: of live ones here, and of those not here at all."""
    buried = 0
    for batch in _batches(destroyed.items()):
        with transaction.atomic("keys"):
            live = set(Key.objects.filter(pk__in=[key_id for key_id, _ in batch]).values_list("pk", flat=True))
            buried += sum(bury([key_id], moment) for key_id, moment in batch if key_id in live)
            missing = [
                Key(pk=key_id, created_at=None, destroyed_at=moment) for key_id, moment in batch if key_id not in live
            ]
            buried += len(Key.objects.bulk_create(missing))
    return Restored(tombstones=buried)


def _record(event: Event, actor: Actor, keys: int, tombstones: int, summary: Summary) -> None:
    with transaction.atomic():
        append(event, about="", actor=actor, keys=keys, tombstones=tombstones, sha256=summary.sha256)


def _keys_in(path: Path) -> Iterator[Key]:
    return (row for row in read_rows(path) if isinstance(row, Key))


def _epochs_in(path: Path) -> Iterator[Epoch]:
    return (row for row in read_rows(path) if isinstance(row, Epoch))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
