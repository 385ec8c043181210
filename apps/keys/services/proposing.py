"""Two people decide that master keys are destroyed: once, for epochs that are named, or from now on (a standing policy).

The entry and the row are in two databases. The row is committed first and the entry directly after it, and a decision
whose entry is missing does not count (policy.is_approved): so nothing is destroyed of which the log does not know why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.services import append
from apps.keys.errors import NothingProposed, ProposalClosed, ProposerLeft, SecondPersonWanted
from apps.keys.models import Epoch, Proposal


def propose_destruction(epoch_ids: Collection[UUID], *, officer: UUID, actor: Actor) -> Proposal:
    """Propose to destroy these master keys. Raises NothingProposed for one in service, in use, destroyed or proposed.

    `officer`: the id of whoever is signed in, so that the second person is seen to be another one.
    """
    free = Q(proposal__isnull=True) | Q(proposal__withdrawn_at__isnull=False)
    with _decision(actor, Event.MASTER_KEYS_PROPOSED) as decided:
        epochs = Epoch.objects.select_for_update(of=("self",)).filter(
            free, pk__in=epoch_ids, emptied_at__isnull=False, destroyed_at=None
        )
        ids = list(epochs.values_list("pk", flat=True))
        if not ids or len(ids) != len(set(epoch_ids)):
            raise NothingProposed("one of these master keys is in use, proposed already, or gone")
        proposal = Proposal.objects.create(proposed_by=officer)
        Epoch.objects.filter(pk__in=ids).update(proposal=proposal)
        decided |= {"proposal": proposal.pk, "epochs": ids}
    return proposal


def propose_policy(*, officer: UUID, actor: Actor) -> Proposal:
    """Propose that from now on every emptied epoch is destroyed by itself. Raises ProposalClosed if one is proposed."""
    with _decision(actor, Event.MASTER_KEY_POLICY_PROPOSED) as decided:
        if Proposal.objects.select_for_update().filter(is_standing=True, withdrawn_at__isnull=True).exists():
            raise ProposalClosed("a standing policy is proposed or in force already")
        proposal = Proposal.objects.create(is_standing=True, proposed_by=officer)
        decided |= {"proposal": proposal.pk}
    return proposal


def approve_proposal(proposal_id: UUID, *, officer: UUID, actor: Actor, may_decide: Callable[[UUID], bool]) -> Proposal:
    """Approve as the second person. Raises SecondPersonWanted for the first, ProposalClosed once it is decided.

    `may_decide` is asked whether the first person still may: they may have left, or lost the role, since. If not, the
    proposal is withdrawn and ProposerLeft is raised: two words count only of two who may say them now.
    """
    with transaction.atomic(durable=True), transaction.atomic("keys", durable=True):
        proposal = _open(proposal_id)
        if proposal.approved_at is not None:
            raise ProposalClosed("it is approved already")
        if proposal.proposed_by == officer:
            raise SecondPersonWanted("whoever proposed it does not approve it")
        stands = may_decide(proposal.proposed_by)
        if stands:
            _approve(proposal, officer, actor)
        else:
            _withdraw(proposal, actor)
    if not stands:
        raise ProposerLeft("whoever proposed it may not decide any more; it is withdrawn")
    return proposal


def withdraw_proposal(proposal_id: UUID, *, actor: Actor) -> Proposal:
    """Take a proposal or the standing policy back; either person may. Raises ProposalClosed once keys are being destroyed."""
    with transaction.atomic(durable=True), transaction.atomic("keys", durable=True):
        proposal = _open(proposal_id)
        if proposal.epochs.filter(intent_entry__isnull=False).exists():
            raise ProposalClosed("the destruction has begun")
        _withdraw(proposal, actor)
    return proposal


def _approve(proposal: Proposal, officer: UUID, actor: Actor) -> None:
    event = Event.MASTER_KEY_POLICY_SET if proposal.is_standing else Event.MASTER_KEYS_APPROVED
    entry = _append(event, actor, _details(proposal))
    proposal.approved_by, proposal.approved_at, proposal.approval_entry = officer, timezone.now(), entry.pk
    proposal.save(update_fields=["approved_by", "approved_at", "approval_entry"])


def _withdraw(proposal: Proposal, actor: Actor) -> None:
    event = Event.MASTER_KEY_POLICY_ENDED if proposal.is_standing else Event.MASTER_KEYS_WITHDRAWN
    _append(event, actor, _details(proposal))
    proposal.withdrawn_at = timezone.now()
    proposal.save(update_fields=["withdrawn_at"])


@contextmanager
def _decision(actor: Actor, event: Event) -> Iterator[dict[str, Any]]:
    """Write the row and the entry of one decision; the block fills in the details."""
    decided: dict[str, Any] = {}
    with transaction.atomic(durable=True), transaction.atomic("keys", durable=True):
        yield decided
        _append(event, actor, decided)


def _open(proposal_id: UUID) -> Proposal:
    proposal = Proposal.objects.select_for_update().filter(
        pk=proposal_id, withdrawn_at__isnull=True, executed_at__isnull=True
    )
    found = proposal.first()
    if found is None:
        raise ProposalClosed("it is withdrawn or carried out")
    return found


def _details(proposal: Proposal) -> dict[str, Any]:
    if proposal.is_standing:
        return {"proposal": proposal.pk}
    return {"proposal": proposal.pk, "epochs": list(proposal.epochs.values_list("pk", flat=True))}


def _append(event: Event, actor: Actor, details: dict[str, Any]) -> Entry:
    return append(event, about="", actor=actor, **details)
