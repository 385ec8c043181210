"""What must be so before a master key may be destroyed, and the standing policy of two people (DESIGN §2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys.models import Backup, Epoch, Installation, Key, Proposal

# Twice the longest unit of work after the last key left an epoch: whoever read a row before that is done with it.
GRACE = timedelta(seconds=2 * settings.STEP_LEASE_SECONDS)
APPROVALS = (Event.MASTER_KEYS_APPROVED, Event.MASTER_KEY_POLICY_SET)


def standing_policy() -> Proposal | None:
    """Return the policy that two people have set and nobody has withdrawn."""
    policy = Proposal.objects.filter(is_standing=True, approved_at__isnull=False, withdrawn_at__isnull=True).first()
    return policy if policy is not None and is_approved(policy) else None


def is_approved(proposal: Proposal) -> bool:
    """Say whether two people stand behind it, and the log holds the entry that says so."""
    if proposal.withdrawn_at is not None or proposal.approval_entry is None:
        return False
    entry = Entry.objects.filter(pk=proposal.approval_entry, event__in=APPROVALS).first()
    return entry is not None and details_of(entry)["proposal"] == str(proposal.pk)


IN_SERVICE, IN_USE, GRACE_RUNS, RESTORED, NO_BACKUP = "in_service", "in_use", "grace", "restored", "no_backup"


@dataclass(frozen=True)
class Obstacle:
    """One thing in the way of destroying a master key: how many keys use it, or until when it is to be kept."""

    code: str
    keys: int = 0
    until: datetime | None = None


def obstacles_of(epoch: Epoch) -> list[Obstacle]:
    """Return what stands in the way of destroying a master key; nothing does if the list is empty.

    The backup must be newer than the roll: older ones do not open any more once the master key is gone, and a lost key
    database would be a lost site. After a restore nothing is destroyed while an older backup may still be in use.
    """
    if epoch.retired_at is None:
        return [Obstacle(IN_SERVICE)]
    using = Key.objects.filter(epoch=epoch).count()
    if using or epoch.emptied_at is None:
        return [Obstacle(IN_USE, keys=using)]
    now = timezone.now()
    found = []
    if now < epoch.emptied_at + GRACE:
        found.append(Obstacle(GRACE_RUNS, until=epoch.emptied_at + GRACE))
    restored_at = Installation.objects.values_list("restored_at", flat=True).first()
    if restored_at is not None:
        until = restored_at + timedelta(days=settings.KEYS_BACKUP_RETENTION_DAYS)
        if now < until:
            found.append(Obstacle(RESTORED, until=until))
    if not Backup.objects.filter(begun_at__gt=epoch.emptied_at).exists():
        found.append(Obstacle(NO_BACKUP))
    return found
