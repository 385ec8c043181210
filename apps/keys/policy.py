"""What must be so before a master key may be destroyed, and the standing policy of two people (DESIGN §2)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of, is_signed
from apps.keys.models import Proposal

# Twice the longest unit of work after the last key left an epoch: whoever read a row before that is done with it.
GRACE = timedelta(seconds=2 * settings.STEP_LEASE_SECONDS)
APPROVALS = (Event.MASTER_KEYS_APPROVED, Event.MASTER_KEY_POLICY_SET)


def standing_policy() -> Proposal | None:
    """Return the policy that two people have set and nobody has withdrawn."""
    policy = Proposal.objects.filter(is_standing=True, approved_at__isnull=False, withdrawn_at__isnull=True).first()
    return policy if policy is not None and is_approved(policy) else None


def is_approved(proposal: Proposal) -> bool:
    """Say whether two people stand behind it, and the log holds the entry that says so, signed."""
    if proposal.withdrawn_at is not None or proposal.approval_entry is None:
        return False
    entry = Entry.objects.filter(pk=proposal.approval_entry, event__in=APPROVALS).first()
    return entry is not None and details_of(entry)["proposal"] == str(proposal.pk) and is_signed(entry)
