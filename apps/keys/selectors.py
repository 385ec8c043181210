"""Reading about keys, without opening them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.keys.errors import KeyDestroyed
from apps.keys.models import Key
from apps.keys.services.opening import check_live

__all__ = ["KeyState", "check_live", "key_state", "live_keys_below", "live_keys_owned_by", "tombstones_among"]


@dataclass(frozen=True)
class KeyState:
    """Whether a key is live; if it is not, when it was destroyed."""

    is_live: bool
    destroyed_at: datetime | None


def key_state(key_id: UUID) -> KeyState:
    """Return the state of a key, a tombstone above it included; raises KeyStoreDamaged if it is neither."""
    try:
        check_live(key_id)
    except KeyDestroyed as error:
        return KeyState(is_live=False, destroyed_at=error.destroyed_at)
    return KeyState(is_live=True, destroyed_at=None)


def live_keys_owned_by(owners: Collection[UUID], *, kind: str | None = None) -> list[UUID]:
    """Return the ids of live keys of these owners; what is below a tombstone is still listed until it is purged."""
    rows = Key.objects.filter(owner__in=owners, destroyed_at=None)
    return list((rows.filter(kind=kind) if kind else rows).order_by("pk").values_list("pk", flat=True))


def live_keys_below(parent_id: UUID) -> list[UUID]:
    """Return the ids of the keys that are wrapped under this one."""
    return list(Key.objects.filter(parent_id=parent_id).order_by("pk").values_list("pk", flat=True))


def tombstones_among(key_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Return those that are tombstones, with their times."""
    rows = Key.objects.filter(pk__in=key_ids, destroyed_at__isnull=False)
    return {key_id: moment for key_id, moment in rows.values_list("pk", "destroyed_at") if moment}
