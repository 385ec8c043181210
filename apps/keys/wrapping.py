"""From rows to keys and back. What is wrapped is bound to its row: id, kind, name, owner and what it is wrapped under."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.keys.epochs import is_in_service
from apps.keys.errors import KeyStoreDamaged
from apps.keys.models import Epoch, Key
from apps.keys.providers import provider_named
from apps.sealing.aead import associated_data, unwrap_key, wrap_key
from apps.sealing.errors import DecryptionError


def context_of(row: Key) -> bytes:
    """Return the associated data of a wrapped key: a row whose parts were exchanged does not open."""
    return associated_data(
        "habeas key",
        1,
        row.pk,
        row.kind,
        row.name,
        row.owner or "",
        row.parent_id or "",
        row.epoch_id or "",
    )


def wrap_under_epoch(rows: list[Key], keys: list[bytes], epoch: Epoch) -> None:
    """Set `wrapped` of each row, under the epoch's master key."""
    for row in rows:
        row.epoch, row.parent_id = epoch, None
    items = [(key, context_of(row)) for row, key in zip(rows, keys, strict=True)]
    for row, wrapped in zip(rows, provider_named(epoch.provider).wrap(epoch.reference, items), strict=True):
        row.wrapped = wrapped


def wrap_under_parent(rows: list[Key], keys: list[bytes], parent_id: UUID, parent_key: bytes) -> None:
    """Set `wrapped` of each row, under the parent's key."""
    for row, key in zip(rows, keys, strict=True):
        row.epoch, row.parent_id = None, parent_id
        row.wrapped = wrap_key(parent_key, key, context=context_of(row))


def save_unchanged(
    rows: list[Key], before: dict[UUID, bytes], where: dict[str, Any], fields: list[str], *, under: Epoch | None = None
) -> int:
    """Save rows that were wrapped anew, in one transaction, those alone that are still as they were read.

    `under`: the epoch that they are wrapped under now; nothing is saved if that was retired meanwhile.
    """
    ids = [row.pk for row in rows]
    with transaction.atomic("keys", durable=True):
        if under is not None and not is_in_service(under):
            return 0
        locked = Key.objects.select_for_update().filter(pk__in=ids, destroyed_at__isnull=True, **where).order_by("pk")
        now = {pk: bytes(wrapped or b"") for pk, wrapped in locked.values_list("pk", "wrapped")}
        same = [row for row in rows if now.get(row.pk) == before[row.pk]]
        Key.objects.bulk_update(same, fields)
    return len(same)


def unwrap_below(rows: Iterable[Key], parent_key: bytes) -> dict[UUID, bytes]:
    """Return the keys of rows that all stand below one key. Raises KeyStoreDamaged for one that does not open."""
    return {row.pk: _unwrap_child(row, parent_key) for row in rows}


def unwrap_rows(rows: Iterable[Key], parents: Iterable[Key]) -> dict[UUID, bytes]:
    """Return the keys of live rows by their ids; `parents` holds the live rows above them.

    Raises KeyStoreDamaged for one that does not open, MasterKeyMissing when its master key is not there.
    """
    above = _unwrap_roots(parents)
    roots: list[Key] = []
    opened: dict[UUID, bytes] = {}
    for row in rows:
        if row.parent_id is None:
            roots.append(row)
        elif row.parent_id in above:
            opened[row.pk] = _unwrap_child(row, above[row.parent_id])
        else:
            raise KeyStoreDamaged(f"the key above key {row.pk} is missing: restore the keys database (restore_keys)")
    return opened | _unwrap_roots(roots)


def _unwrap_child(row: Key, parent_key: bytes) -> bytes:
    try:
        return unwrap_key(parent_key, row.wrapped or b"", context=context_of(row))
    except DecryptionError:
        raise KeyStoreDamaged(f"key {row.pk} does not open") from None


def _unwrap_roots(rows: Iterable[Key]) -> dict[UUID, bytes]:
    by_epoch: defaultdict[Epoch, list[Key]] = defaultdict(list)
    for row in rows:
        if row.epoch is None:
            raise KeyStoreDamaged(f"key {row.pk} stands below a key that stands below another")
        by_epoch[row.epoch].append(row)
    keys: dict[UUID, bytes] = {}
    for epoch, members in by_epoch.items():
        keys |= _unwrap_members(epoch, members)
    return keys


def _unwrap_members(epoch: Epoch, rows: list[Key]) -> dict[UUID, bytes]:
    items = [(bytes(row.wrapped or b""), context_of(row)) for row in rows]
    try:
        opened = provider_named(epoch.provider).unwrap(epoch.reference, items)
    except DecryptionError:
        raise KeyStoreDamaged(f"a key of {epoch} does not open under its master key") from None
    return {row.pk: key for row, key in zip(rows, opened, strict=True)}
