"""Adding and changing the rules for copies, each with its place and its entry in the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records.copies.removing import doom_all
from apps.records.models import Copy, CopyPolicy

KIND = "copies"


def add_policy(
    *, name: str, country: str, destination: Location, target: str, actor: Actor, **settings: Any
) -> CopyPolicy:
    """Add a rule and the place that stands for its copies in every request; the first copies are due at once."""
    policy_id = uuid4()
    location = Location(kind=KIND, name=name, country=country)
    with transaction.atomic():
        save_location(location, config={"policy": str(policy_id)}, actor=actor)
        policy = CopyPolicy(id=policy_id, location=location, destination=destination, target=target, **settings)
        _set_times(policy)
        policy.save(force_insert=True)
        _append_entry(Event.COPY_POLICY_ADDED, policy, actor)
    return policy


def change_policy(policy: CopyPolicy, *, actor: Actor, **settings: Any) -> None:
    """Change how often copies are written and read again, or stop and go on. Where and in which form stays as it is."""
    with transaction.atomic():
        for name in ("every", "check_days", "is_active"):
            setattr(policy, name, settings.get(name, getattr(policy, name)))
        if policy.is_active:  # an ended rule that goes on: its place takes part in every request again
            Location.objects.filter(pk=policy.location_id, is_enabled=False).update(is_enabled=True, emptied_at=None)
        _set_times(policy)
        policy.save(update_fields=["every", "check_days", "is_active", "next_copy_at", "next_check_at"])
        _append_entry(Event.COPY_POLICY_CHANGED, policy, actor)


def end_policy(policy: CopyPolicy, *, actor: Actor) -> int:
    """Stop, and have every copy deleted; return how many are to go. The place stays until they are gone."""
    with transaction.atomic():
        change_policy(policy, actor=actor, is_active=False)
        return doom_all(policy)


def copy_now(policy: CopyPolicy, *, check: bool = False) -> None:
    """Make the next copying, or reading again, due at once."""
    name = "next_check_at" if check else "next_copy_at"
    CopyPolicy.objects.filter(pk=policy.pk, is_active=True).update(**{name: timezone.now()})
    CopyPolicy.objects.filter(pk=policy.pk, token=None).update(lease_until=None)


def waiting_to_go(policy: CopyPolicy) -> int:
    return Copy.objects.filter(policy=policy, doomed_at__isnull=False).count()


def _set_times(policy: CopyPolicy) -> None:
    now = timezone.now()
    policy.next_copy_at = policy.next_copy_at or now
    if not policy.check_days:
        policy.next_check_at = None
    elif policy.next_check_at is None or policy.next_check_at > now + timedelta(days=policy.check_days):
        policy.next_check_at = now + timedelta(days=policy.check_days)


def _append_entry(event: Event, policy: CopyPolicy, actor: Actor) -> None:
    audit.append(
        event,
        about="",
        actor=actor,
        location=policy.location_id,
        readable=policy.is_readable,
        active=policy.is_active,
    )
