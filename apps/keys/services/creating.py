"""Making keys. The key is committed before the content that it seals, so that nothing is ever sealed under a lost key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction

from apps.keys.epochs import current_epoch, is_in_service
from apps.keys.kinds import KeyKind
from apps.keys.models import Key
from apps.keys.services.opening import check_live, open_key
from apps.keys.wrapping import wrap_under_epoch, wrap_under_parent
from apps.sealing.aead import new_key

ROWS_A_STATEMENT = 500  # SQLite: ≤ 1,000 rows or 100 ms a transaction


@dataclass(frozen=True)
class NewKey:
    """A key that is committed, and its 32 bytes, for as long as the caller's unit of work lasts."""

    id: UUID
    key: bytes = field(repr=False)


def create_key(kind: KeyKind, *, owner: UUID | None, parent: UUID | None = None, name: str = "") -> NewKey:
    """Make one key for `owner`, under the key `parent` or else under the current master key; committed on return.

    Works inside a transaction of the records: that is another database. If that one rolls back, `discard_key`, or the
    sweep, destroys the key again.
    """
    [made] = _create([Key(kind=kind, owner=owner, name=name)], parent)
    return made


def create_keys(kind: KeyKind, owners: Sequence[UUID], *, parent: UUID | None) -> list[NewKey]:
    """Make a key for each owner, in their order; all are committed on return."""
    made: list[NewKey] = []
    for first in range(0, len(owners), ROWS_A_STATEMENT):
        part = owners[first : first + ROWS_A_STATEMENT]
        made += _create([Key(kind=kind, owner=owner) for owner in part], parent)
    return made


def create_successor(old: Key) -> UUID:
    """Make the key that comes in the place of a root key; raises IntegrityError if there is one already."""
    row = Key(kind=old.kind, owner=old.owner, replaces=old.pk)
    _create_roots([row], [new_key()], instead_of=old.pk)
    return row.pk


def _create(rows: list[Key], parent: UUID | None) -> list[NewKey]:
    keys = [new_key() for _ in rows]
    if parent is None:
        _create_roots(rows, keys)
    else:
        with transaction.atomic("keys", durable=True):  # durable: refuses an outer one, which could roll it back
            list(Key.objects.select_for_update().filter(pk=parent))  # it cannot be destroyed before these are there
            wrap_under_parent(rows, keys, parent, open_key(parent))
            Key.objects.bulk_create(rows)
    return [NewKey(row.pk, key) for row, key in zip(rows, keys, strict=True)]


def _create_roots(rows: list[Key], keys: list[bytes], *, instead_of: UUID | None = None) -> None:
    """Wrap under the epoch in service and save; again, if a roll has retired that one in between."""
    while True:
        epoch = current_epoch()
        wrap_under_epoch(rows, keys, epoch)
        with transaction.atomic("keys", durable=True):
            if instead_of is not None:  # an erasure of that one waits until this one is there, and takes both
                list(Key.objects.select_for_update().filter(pk=instead_of))
                check_live(instead_of)
            if is_in_service(epoch):
                Key.objects.bulk_create(rows)
                return
