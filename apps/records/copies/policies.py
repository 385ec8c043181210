"""Adding and changing the rules for copies, each with its place and its entry in the log."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from apps.accounts.access import holds_permission
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys.services import site_key
from apps.locations.models import Location
from apps.locations.services import config_of, save_location
from apps.records.copies.removing import doom_all
from apps.records.errors import NotProposed, SecondPersonWanted
from apps.records.models import Copy, CopyPolicy

KIND = "copies"
PROPOSE = "records.change_copypolicy"  # who gives the first yes to readable copies
PERIODS = {CopyPolicy.Every.HOURLY: timedelta(hours=1), CopyPolicy.Every.DAILY: timedelta(days=1)}
CHANGED = (
    "every",
    "check_days",
    "is_active",
    "next_copy_at",
    "next_check_at",
    "proposed_by",
    "approved_by",
    "place_mac",
)


def add_policy(
    *,
    name: str,
    country: str,
    destination: Location,
    target: str,
    actor: Actor,
    officer: UUID | None = None,
    **settings: Any,
) -> CopyPolicy:
    """Add a rule and the place that stands for its copies in every request; the first copies are due at once.

    One for readable copies is only proposed by this: it stands still until another person than `officer` agrees. Copies
    are in the country of where they go, unless another is named, and may stay there for the reason that is recorded there.
    """
    policy_id = uuid4()
    location = Location(kind=KIND, name=name, country=country or destination.country)
    location.horizon_reason = destination.horizon_reason
    with transaction.atomic():
        save_location(location, config={"policy": str(policy_id)}, actor=actor)
        policy = CopyPolicy(id=policy_id, location=location, destination=destination, target=target, **settings)
        if policy.is_readable:
            policy.is_active = False
            _propose(policy, officer)
        _set_times(policy)
        policy.save(force_insert=True)
        _append_entry(Event.COPY_POLICY_ADDED, policy, actor)
    return policy


def approve_policy(policy: CopyPolicy, *, officer: UUID, actor: Actor) -> None:
    """Agree to readable copies as the second person. Raises SecondPersonWanted for the first, NotProposed otherwise.

    A proposal is none any more when its place has been set up otherwise since (what was looked at is what is agreed to),
    or when whoever made it has left, or lost the role.
    """
    if policy.is_proposed and not (_is_place_as_it_was(policy) and _may_propose_still(policy)):
        change_policy(policy, actor=actor, is_active=False)
    with _locked(policy):
        if not policy.is_proposed:
            raise NotProposed
        if policy.proposed_by == officer:
            raise SecondPersonWanted
        policy.approved_by = officer
        _start(policy)
        policy.save(update_fields=CHANGED)
        _append_entry(Event.COPY_POLICY_APPROVED, policy, actor)


def change_policy(
    policy: CopyPolicy, *, actor: Actor, officer: UUID | None = None, is_active: bool | None = None, **times: Any
) -> None:
    """Change how often copies are written and read again, or stop and go on. Where and in which form stays as it is.

    Readable ones go on only when two people want it anew: to start them is to propose it.
    """
    with _locked(policy):
        for name, value in times.items():
            setattr(policy, name, value)
        if is_active is not None:
            _stop(policy)
        if is_active and policy.is_readable:
            _propose(policy, officer)
        elif is_active:
            _start(policy)
        _set_times(policy)
        policy.save(update_fields=CHANGED)
        _append_entry(Event.COPY_POLICY_CHANGED, policy, actor)


def stop_if_place_changed(policy: CopyPolicy) -> bool:
    """Stop readable copies if their place is not set up as it was when one proposed them; say whether it was so."""
    if not policy.is_readable or not policy.is_active or _is_place_as_it_was(policy):
        return False
    change_policy(policy, actor=Actor.system(), is_active=False)
    return True


def end_policy(policy: CopyPolicy, *, actor: Actor) -> int:
    """Stop, and have every copy deleted; return how many are to go. The place stays until they are gone."""
    with transaction.atomic():
        change_policy(policy, actor=actor, is_active=False)
        return doom_all(policy)


@contextmanager
def _locked(policy: CopyPolicy) -> Iterator[None]:
    """Lock the row and read it again: what others have changed meanwhile stays."""
    with transaction.atomic():
        CopyPolicy.objects.select_for_update().get(pk=policy.pk)
        policy.refresh_from_db(fields=CHANGED)
        yield


def _propose(policy: CopyPolicy, officer: UUID | None) -> None:
    policy.proposed_by, policy.place_mac = officer, mac_of_place(policy.destination)


def _is_place_as_it_was(policy: CopyPolicy) -> bool:
    return hmac.compare_digest(mac_of_place(policy.destination), bytes(policy.place_mac or b""))


def _may_propose_still(policy: CopyPolicy) -> bool:
    return policy.proposed_by is not None and holds_permission(policy.proposed_by, PROPOSE)


def _start(policy: CopyPolicy) -> None:
    policy.is_active = True
    # an ended rule that goes on: its place takes part in every request again
    Location.objects.filter(pk=policy.location_id, is_enabled=False).update(is_enabled=True, emptied_at=None)


def _stop(policy: CopyPolicy) -> None:
    policy.is_active, policy.proposed_by, policy.approved_by, policy.place_mac = False, None, None, None


def mac_of_place(place: Location) -> bytes:
    """Return what stands for the settings of a place: it changes when copies would go somewhere else."""
    settings = json.dumps([str(place.pk), place.kind, config_of(place)], sort_keys=True, default=str)
    return hmac.digest(site_key("places of copies"), settings.encode(), hashlib.sha256)


def copy_now(policy: CopyPolicy, *, check: bool = False) -> None:
    """Make the next copying, or reading again, due at once."""
    name = "next_check_at" if check else "next_copy_at"
    CopyPolicy.objects.filter(pk=policy.pk, is_active=True).update(**{name: timezone.now()})
    CopyPolicy.objects.filter(pk=policy.pk, token=None).update(lease_until=None)


def waiting_to_go(policy: CopyPolicy) -> int:
    return Copy.objects.filter(policy=policy, doomed_at__isnull=False).count()


def held_back(policy: CopyPolicy) -> tuple[int, date | None]:
    """Return how many of those their place may not let go yet, and the day on which the last is asked for again."""
    held = Copy.objects.filter(policy=policy, doomed_at__isnull=False, held_until__gt=timezone.now().date())
    found = held.aggregate(count=Count("pk"), last=Max("held_until"))
    return found["count"], found["last"]


def _set_times(policy: CopyPolicy) -> None:
    now = timezone.now()
    policy.next_copy_at = min(policy.next_copy_at or now, now + PERIODS[CopyPolicy.Every(policy.every)])
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
        proposed=policy.is_proposed,
    )
