"""After a restore: what sealed copies hold of conversations that were kept since the backup comes back by itself (DESIGN §3).

It begins once every erasure since the backup has been repeated and proven, so that a key which still opens a copy is one
that nobody has erased. Only copies that no row names are read: those made since the backup. What is due stands in the
rule's row, so that nothing but that row decides whether it is done.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from apps.audit.actors import Actor
from apps.records.copies.restoring import is_restoring, run_restore, sealed_rules
from apps.records.models import CopyPolicy, CopyRun

AGAIN = timedelta(minutes=10)  # when the place, or whoever holds the master key, does not answer


def bring_back_everything() -> int:
    """Have what is missing here brought back from every rule's sealed copies; return how many rules. In a transaction."""
    return sealed_rules().update(bring_back_at=timezone.now())


def due_returns() -> list[UUID]:
    """Return the rules from whose copies something is to be brought back, and which no worker is at."""
    due = CopyPolicy.objects.filter(bring_back_at__lte=timezone.now())
    return [policy.pk for policy in due if not is_restoring(policy)]


def bring_back(policy_id: UUID) -> CopyRun | None:
    """Bring back what is missing, as a run that the rule's page shows; None if there is nothing to do, or another does it."""
    mine = CopyPolicy.objects.filter(pk=policy_id, bring_back_at__lte=timezone.now())
    since = mine.values_list("bring_back_at", flat=True).first()
    if since is None:
        return None
    run = run_restore(policy_id, actor=Actor.system(), only_unknown=True)
    if run is not None:
        is_cut_off = run.state == CopyRun.State.FAILED or run.counts["later"]
        again = timezone.now() + AGAIN if is_cut_off else None
        CopyPolicy.objects.filter(pk=policy_id, bring_back_at=since).update(bring_back_at=again)
    return run
