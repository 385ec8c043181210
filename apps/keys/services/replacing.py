"""Replacing a key: what stays is wrapped and sealed anew, then the old key is destroyed (DESIGN §2).

An old backup and the living key above would open what was deleted below it. So that key gives way to a new one, with an
id of its own: new key made → what is sealed under the old one itself sealed anew, and its owner's row names the new one
(one transaction of the records, KEY_MOVERS) → keys below wrapped anew, in batches → intent signed → old key a tombstone →
outcome. `Key.replaces` names the old one until all of that is done, so that a crash anywhere resumes; until then an
erasure of either takes both (lineage.py). Whoever still holds the old id reads its owner's row again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.services import wait_until_signed
from apps.keys.errors import KeyDestroyed, KeyStoreDamaged, NotReplaceable
from apps.keys.intents import MOST_KEYS, REPLACED, intend_destruction, standing_replacements
from apps.keys.models import Key, Removed
from apps.keys.services.creating import create_successor
from apps.keys.services.destroying import destroy_replaced, record_destruction
from apps.keys.services.opening import check_live, open_keys
from apps.keys.wrapping import save_unchanged, unwrap_below, wrap_under_parent
from apps.sealing.errors import DecryptionError

BATCH = 500


class Mover(Protocol):
    def __call__(self, owner: UUID, old: UUID, new: UUID, *, even_if_frozen: bool) -> str:
        """Seal anew what is sealed under `old` itself and have the owner's row name `new`, in one transaction.

        Returns the owner's handle, or "" if no row names either. A repeat finds it done. Raises NotReplaceable while an
        erasure of the owner is under way, unless `even_if_frozen`: that erasure itself asks for it.
        """
        ...


@dataclass(frozen=True)
class Replacement:
    """A key that was replaced: `old` is a tombstone since `destroyed_at`, `new` opens all that stays."""

    old: UUID
    new: UUID
    destroyed_at: datetime


def replace_key(
    key_id: UUID,
    *,
    actor: Actor,
    about: str = "",
    removed: Sequence[UUID | int] = (),
    even_if_frozen: bool = False,
) -> Replacement:
    """Put a new key in the place of this one, and destroy it; outside transactions only. A repeat goes on.

    `removed`: ids of keys or rows that the new one shall not open, named in the intent beside the keys below this one
    that were destroyed since it was made. `about`: the handle for the log, if the owner's is not to be used. An unfinished
    replacement of this key or by this key is finished instead of beginning another. Raises NotReplaceable, KeyDestroyed
    (nothing to replace), NotSigned (nothing destroyed: repeat).
    """
    work = _move(*_begin(key_id), actor, about, removed, even_if_frozen=even_if_frozen)
    for intent in work.intents:
        wait_until_signed(intent)
    return _finish(work, actor)


def replace_several(key_ids: Iterable[UUID], *, actor: Actor) -> tuple[list[Replacement], set[UUID], set[UUID]]:
    """Replace as many as can be; return what was done, which keys must wait for an erasure, and which are damaged."""
    works: list[_Work] = []
    waiting: set[UUID] = set()
    damaged: set[UUID] = set()
    for key_id in key_ids:
        old = key_id
        try:
            old, new = _begin(key_id)
            if any(work.old == old for work in works):  # both keys of a pair were named
                continue
            works.append(_move(old, new, actor, "", (), even_if_frozen=False))
        except NotReplaceable:
            waiting.add(old)
        except KeyDestroyed:  # an erasure was faster
            continue
        except (KeyStoreDamaged, DecryptionError):
            damaged.add(old)
    for intent in (intent for work in works for intent in work.intents):
        wait_until_signed(intent)
    return [_finish(work, actor) for work in works], waiting, damaged


def needs_replacing(key_id: UUID) -> bool:
    """Say whether an old copy of a destroyed key could still be opened by way of this one."""
    live = Key.objects.filter(pk=key_id, destroyed_at__isnull=True).first()
    return live is not None and (live.child_destroyed_at is not None or live.replaces is not None)


@dataclass(frozen=True)
class _Work:
    old: UUID
    new: UUID
    intents: list[Entry]


def _begin(key_id: UUID) -> tuple[UUID, UUID]:
    """Return (old, new), the new one committed; goes on with a replacement that broke off."""
    started = Key.objects.filter(replaces=key_id).values_list("pk", flat=True).first()
    if started is not None:
        return key_id, started
    row = Key.objects.filter(pk=key_id).first()
    if row is not None and row.replaces is not None:
        return row.replaces, row.pk
    check_live(key_id)
    if row is None or row.owner is None or row.kind not in settings.KEY_MOVERS:
        raise NotReplaceable(f"key {key_id} is of a kind that is only wrapped anew")
    try:
        return key_id, create_successor(row)
    except IntegrityError:  # another process began at the same time
        return _begin(key_id)


def _move(
    old: UUID, new: UUID, actor: Actor, about: str, removed: Sequence[UUID | int], *, even_if_frozen: bool
) -> _Work:
    row = Key.objects.get(pk=new)
    if row.owner is None:  # the new one was destroyed meanwhile, with its owner
        check_live(new)
        raise NotReplaceable(f"key {new} has no owner")
    if Key.objects.filter(pk=old, destroyed_at__isnull=True).exists():
        handle = mover_of(row.kind)(row.owner, old, new, even_if_frozen=even_if_frozen)
        move_children(old, new)
    else:
        handle = mover_of(row.kind)(row.owner, new, new, even_if_frozen=True)  # only the outcome was left to say
    return _Work(old, new, _intents(old, about or handle, actor, removed))


def mover_of(kind: str) -> Mover:
    return cast(Mover, import_string(settings.KEY_MOVERS[kind]))


def move_children(old: UUID, new: UUID) -> None:
    """Wrap every key below `old` under `new`, in batches; what is created or destroyed meanwhile wins."""
    for rows in _children(old):
        above = open_keys([old, new])
        keys = unwrap_below(rows, above[old])
        before = {row.pk: bytes(row.wrapped or b"") for row in rows}
        wrap_under_parent(rows, [keys[row.pk] for row in rows], new, above[new])
        save_unchanged(rows, before, {"parent_id": old}, ["parent_id", "wrapped"])


def _children(parent_id: UUID) -> Iterator[list[Key]]:
    """Yield the keys below one, in batches by id. None come behind it: a creator asks for the key that is named now."""
    live = Key.objects.filter(parent_id=parent_id, destroyed_at__isnull=True).order_by("pk")
    batch = list(live[:BATCH])
    while batch:
        yield batch
        batch = list(live.filter(pk__gt=batch[-1].pk)[:BATCH])


def _intents(old: UUID, about: str, actor: Actor, removed: Collection[UUID | int]) -> list[Entry]:
    """Return the intents that say what the new key does not open: at least one, and none twice."""
    below = Removed.objects.filter(parent_id=old).order_by("removed_id").values_list("removed_id", flat=True)
    intents, said = standing_replacements(about, old)
    wanted = [one for one in dict.fromkeys([*below, *removed]) if one not in said]
    parts = [wanted[first : first + MOST_KEYS] for first in range(0, len(wanted), MOST_KEYS)]
    if not parts and not intents:
        parts = [[]]
    with transaction.atomic(durable=True):
        for part in parts:
            intents.append(intend_destruction([old], about=about, actor=actor, reason=REPLACED, removed=part))
    return intents


def _finish(work: _Work, actor: Actor) -> Replacement:
    """Destroy the old key once nothing needs it, and say so."""
    intents = work.intents
    result = destroy_replaced(work.old, intents=intents)
    while result is None:  # a key was made or destroyed below it while the others were moved
        move_children(work.old, work.new)
        intents = _intents(work.old, intents[0].about, actor, ())
        for intent in intents:
            wait_until_signed(intent)
        result = destroy_replaced(work.old, intents=intents)
    with transaction.atomic(durable=True):
        for intent in intents:
            record_destruction(intent, result, actor=actor)
    Key.objects.filter(pk=work.new, replaces=work.old).update(replaces=None)
    return Replacement(work.old, work.new, result.destroyed_at)
