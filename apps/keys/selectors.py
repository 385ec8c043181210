"""Reading about keys, without opening them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q

from apps.keys.errors import KeyDestroyed
from apps.keys.lineage import IDS_A_QUERY
from apps.keys.models import Backup, Epoch, Installation, Key, Proposal
from apps.keys.policy import Obstacle, obstacles_of
from apps.keys.services.opening import check_live

__all__ = [
    "KeyState",
    "MadeBackup",
    "MasterKey",
    "are_below_another",
    "check_live",
    "current_proposals",
    "destroyed_among",
    "key_state",
    "live_keys_below",
    "live_keys_owned_by",
    "live_named_keys",
    "master_keys",
    "newest_backups",
    "tombstones_among",
    "waiting_keys",
]


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


def are_below_another(key_ids: Collection[UUID], owner: UUID) -> bool:
    """Say whether any of these keys is wrapped under a key of somebody else than this owner; tombstones say of nobody."""
    parents = Key.objects.filter(pk__in=key_ids, parent_id__isnull=False).values("parent_id")
    return Key.objects.filter(pk__in=parents, owner__isnull=False).exclude(owner=owner).exists()


def live_keys_below(parent_id: UUID) -> list[UUID]:
    """Return the ids of the keys that are wrapped under this one."""
    return list(Key.objects.filter(parent_id=parent_id).order_by("pk").values_list("pk", flat=True))


@dataclass(frozen=True)
class NamedKey:
    """A key that the site has once."""

    id: UUID
    kind: str
    name: str


def live_named_keys(kinds: Collection[str]) -> list[NamedKey]:
    """Return the live keys of these kinds that have a name."""
    rows = Key.objects.filter(kind__in=kinds, destroyed_at=None).exclude(name="").order_by("name")
    return [NamedKey(*row) for row in rows.values_list("pk", "kind", "name")]


def live_among(key_ids: Collection[UUID]) -> list[UUID]:
    """Return those that are neither tombstones nor missing."""
    return list(Key.objects.filter(pk__in=key_ids, destroyed_at=None).order_by("pk").values_list("pk", flat=True))


def tombstones_among(key_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Return those that are tombstones, with their times."""
    rows = Key.objects.filter(pk__in=key_ids, destroyed_at__isnull=False)
    return {key_id: moment for key_id, moment in rows.values_list("pk", "destroyed_at") if moment}


def destroyed_among(key_ids: Collection[UUID]) -> set[UUID]:
    """Return those that are destroyed: tombstones, and what is below one. What is neither is not among them."""
    ids, gone = list(key_ids), set()
    for first in range(0, len(ids), IDS_A_QUERY):
        rows = Key.objects.filter(pk__in=ids[first : first + IDS_A_QUERY])
        above = Key.objects.filter(pk=OuterRef("parent_id"), destroyed_at__isnull=False)
        gone |= set(rows.filter(Q(destroyed_at__isnull=False) | Exists(above)).values_list("pk", flat=True))
    return gone


MOST_SHOWN = 50


@dataclass(frozen=True)
class MasterKey:
    """An epoch as staff see it: how many live keys it wraps, and what stands in the way of destroying it."""

    epoch: Epoch
    keys: int
    obstacles: list[Obstacle]

    @property
    def may_propose(self) -> bool:
        """Say whether it is emptied, and nobody has proposed it yet."""
        proposal = self.epoch.proposal
        is_free = proposal is None or proposal.withdrawn_at is not None
        return is_free and self.epoch.emptied_at is not None and self.epoch.destroyed_at is None and not self.keys


@dataclass(frozen=True)
class MadeBackup:
    """A verified backup of the keys."""

    begun_at: datetime
    keys: int
    digest: str


def master_keys() -> list[MasterKey]:
    """Return the newest epochs, the one in service first."""
    using = dict(Key.objects.filter(epoch__isnull=False).order_by().values_list("epoch").annotate(number=Count("pk")))
    epochs = Epoch.objects.select_related("proposal").order_by("-created_at")[:MOST_SHOWN]
    return [
        MasterKey(epoch, using.get(epoch.pk, 0), [] if epoch.destroyed_at else obstacles_of(epoch)) for epoch in epochs
    ]


def current_proposals() -> tuple[list[Proposal], Proposal | None]:
    """Return the proposals that are open or being carried out, and the standing policy, proposed or in force."""
    found = Proposal.objects.filter(withdrawn_at=None, executed_at=None).order_by("proposed_at")
    return list(found.filter(is_standing=False)), found.filter(is_standing=True).first()


def newest_backups(most: int = 5) -> list[MadeBackup]:
    """Return the verified backups, newest first."""
    found = Backup.objects.order_by("-begun_at")[:most]
    return [MadeBackup(one.begun_at, one.keys, bytes(one.sha256).hex()) for one in found]


def waiting_keys() -> int:
    """Return how many keys without an owner the last sweep left to a person; 0 when it destroyed what it found."""
    return Installation.objects.values_list("waiting_keys", flat=True).first() or 0
