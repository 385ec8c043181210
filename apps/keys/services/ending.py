"""Destroying master keys that no live key needs: what two people have decided is carried out, in the order of DESIGN §2.

Nothing in the way → intent signed → looked again under lock, and the epoch marked: from here on only forward → the
provider destroys → outcome entry → the epoch's row. A crash anywhere, or a provider that does not answer, is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.entries import hash_of
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.audit.services import append, wait_until_signed
from apps.keys.errors import InQuarantine, MasterKeyUnreachable
from apps.keys.models import Epoch, Proposal
from apps.keys.policy import Obstacle, is_approved, obstacles_of, standing_policy
from apps.keys.providers import provider_named


@dataclass(frozen=True)
class Ended:
    """What a run did: master keys destroyed, and what stands in the way of the others that were decided on."""

    destroyed: list[Epoch] = field(default_factory=list)
    waiting: list[tuple[Epoch, list[Obstacle]]] = field(default_factory=list)
    unreachable: list[Epoch] = field(default_factory=list)


def destroy_master_keys(*, actor: Actor) -> Ended:
    """Destroy every master key on which two people have decided and that nothing needs; outside transactions only.

    Raises NotSigned: nothing of that proposal was destroyed, try again. What is in the way is told, and stays.
    """
    if quarantine.reason():
        raise InQuarantine
    ended = Ended()
    for proposal, epochs in _decided():
        ready: list[Epoch] = []
        for epoch in epochs:
            found = [] if epoch.intent_entry is not None else obstacles_of(epoch)
            if found:
                ended.waiting.append((epoch, found))
            else:
                ready.append(epoch)
        for epoch in _announce(ready, proposal, actor, ended):
            _destroy(epoch, actor, ended)
    return ended


def undecided_epochs() -> list[Epoch]:
    """Return the retired epochs on which nobody has decided yet; of one that is not emptied nobody can, before a roll."""
    decided = {epoch.pk for _, epochs in _decided() for epoch in epochs}
    retired = Epoch.objects.filter(retired_at__isnull=False, destroyed_at=None).order_by("created_at")
    return [epoch for epoch in retired if epoch.pk not in decided]


def _decided() -> list[tuple[Proposal, list[Epoch]]]:
    """Return approved proposals with their epochs, and the standing policy with all the others that are retired."""
    left = list(Epoch.objects.select_related("proposal").filter(destroyed_at=None, retired_at__isnull=False))
    found: dict[Proposal, list[Epoch]] = {}
    policy = standing_policy()
    for epoch in sorted(left, key=lambda epoch: epoch.created_at):
        by = epoch.proposal if epoch.proposal is not None and is_approved(epoch.proposal) else policy
        if by is not None:
            found.setdefault(by, []).append(epoch)
    return list(found.items())


def _announce(epochs: Sequence[Epoch], proposal: Proposal, actor: Actor, ended: Ended) -> list[Epoch]:
    """Write and sign the intent, then mark the epochs under lock; returns those that are marked."""
    new = [epoch for epoch in epochs if epoch.intent_entry is None]
    if new:
        with transaction.atomic(durable=True):
            ids = [epoch.pk for epoch in new]
            intent = append(Event.MASTER_KEYS_INTENDED, about="", actor=actor, proposal=proposal.pk, epochs=ids)
        wait_until_signed(intent)
        for epoch in new:
            _mark(epoch, intent, proposal, ended)
    return [epoch for epoch in epochs if epoch.intent_entry is not None]


def _mark(epoch: Epoch, intent: Entry, proposal: Proposal, ended: Ended) -> None:
    """Look again in the transaction that makes it final: `restore_keys` may have brought a key back, or somebody withdrawn.

    Of two workers who have both signed an intent, the first one's counts, and both go on under it.
    """
    with transaction.atomic("keys", durable=True):
        locked = Epoch.objects.select_for_update().get(pk=epoch.pk)
        current = Proposal.objects.select_for_update().get(pk=proposal.pk)
        if locked.destroyed_at is not None:
            return
        if locked.intent_entry is not None:
            epoch.intent_entry = locked.intent_entry
            return
        found = obstacles_of(locked)
        if current.withdrawn_at is None and not found:
            epoch.intent_entry = intent.pk
            epoch.save(update_fields=["intent_entry"])
            return
    if found:
        ended.waiting.append((epoch, found))


def _destroy(epoch: Epoch, actor: Actor, ended: Ended) -> None:
    try:
        gone_at = provider_named(epoch.provider).destroy(epoch.reference)
    except MasterKeyUnreachable:
        ended.unreachable.append(epoch)
        return
    _record(epoch, gone_at, actor)
    with transaction.atomic("keys"):
        epoch.destroyed_at, epoch.gone_at = timezone.now(), gone_at
        standing = Epoch.objects.filter(pk=epoch.pk, destroyed_at=None)
        if not standing.update(destroyed_at=epoch.destroyed_at, gone_at=gone_at):
            return  # another worker was faster
        proposal = epoch.proposal
        if proposal is not None and not proposal.epochs.filter(destroyed_at=None).exists():
            Proposal.objects.filter(pk=proposal.pk, withdrawn_at=None).update(executed_at=timezone.now())
    ended.destroyed.append(epoch)


def _record(epoch: Epoch, gone_at: datetime | None, actor: Actor) -> None:
    """Write the outcome, once, also when two workers come to it together."""
    intent_id = epoch.intent_entry or 0
    intent = Entry.objects.filter(pk=intent_id).first()
    later = Entry.objects.filter(event=Event.MASTER_KEYS_DESTROYED, id__gt=intent_id)
    with transaction.atomic(durable=True):
        quarantine.wait_for_others()
        if any(details_of(entry)["epochs"] == [str(epoch.pk)] for entry in later.iterator()):
            return
        append(
            Event.MASTER_KEYS_DESTROYED,
            about="",
            actor=actor,
            intent=hash_of(intent) if intent is not None else None,
            epochs=[epoch.pk],
            gone_by=(gone_at + timedelta(days=1)).date() if gone_at else None,
        )
