"""Writes places: their configuration sealed, each change with its entry in the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys.services import site_key
from apps.locations import policy
from apps.locations.contract import Health
from apps.locations.deadlines import looking_for
from apps.locations.errors import HorizonTooLong, LocationError
from apps.locations.models import Location
from apps.locations.said import kept
from apps.sealing import content
from apps.sealing.aead import associated_data

CHECK_SECONDS = 60  # whoever tests a place waits for it
LONGEST_HORIZON_DAYS = 100 * 366
OWN_NAMES = {"records": "Conversations", "archives": "Your downloads", "account": "Account and requests"}


SAID_BY_STAFF = ("name", "country", "purpose", "retention", "horizon_reason", "sealed_config")
CHECKED = ("checked_at", "is_reachable", "health", "horizon_days")  # the rest of a row is changed by acts of their own


def _context(location: Location) -> bytes:
    return associated_data("habeas", "site-key", "locations.Location", "sealed_config", location.pk)


def config_of(location: Location) -> dict[str, Any]:
    """Open a place's configuration; our own places have none."""
    if location.sealed_config is None:
        return {}
    opened: dict[str, Any] = content.unseal_json(
        site_key("locations"), bytes(location.sealed_config), context=_context(location)
    )
    return opened


def save_location(
    location: Location, *, config: dict[str, Any], actor: Actor, health: Health | None = None
) -> Location:
    """Add a place or change one. From then on it takes part in every request.

    `health`: what `test_config` has just said of this configuration; it is kept as the last check. Raises
    HorizonTooLong where the policy refuses a place that could never be erased in time and no reason is recorded.
    """
    if health is not None:
        if policy.refuses(health.horizon_days) and not location.horizon_reason:
            raise HorizonTooLong
        _note_health(location, health)
    added = location._state.adding
    location.sealed_config = content.seal_json(site_key("locations"), config, context=_context(location))
    with transaction.atomic():
        location.save(update_fields=None if added else [*SAID_BY_STAFF, *(CHECKED if health else ())])
        event = Event.LOCATION_ADDED if added else Event.LOCATION_CHANGED
        audit.append(event, about="", actor=actor, location=location.pk)
    return location


def switch_location(location: Location, *, enabled: bool, actor: Actor) -> None:
    """Switch a place on or off. A switched-off place still counts: its steps wait for a person."""
    with transaction.atomic():
        changed = Location.objects.filter(pk=location.pk, is_enabled=not enabled).update(is_enabled=enabled)
        if changed:
            event = Event.LOCATION_SWITCHED_ON if enabled else Event.LOCATION_SWITCHED_OFF
            audit.append(event, about="", actor=actor, location=location.pk)


def record_emptied(location: Location, *, actor: Actor) -> None:
    """Record that a switched-off place holds nothing any more, so that requests need not go there."""
    with transaction.atomic():
        changed = Location.objects.filter(pk=location.pk, is_enabled=False, emptied_at__isnull=True).update(
            emptied_at=timezone.now()
        )
        if changed:
            audit.append(Event.LOCATION_EMPTIED, about="", actor=actor, location=location.pk)


def test_config(kind: str, config: dict[str, Any]) -> Health:
    """Ask whether a place answers with these settings, and what stands in the way of erasing there. Nothing is kept.

    For how long erased copies stay, some places say themselves: a number that no calendar holds is not believed.
    """
    try:
        with looking_for(CHECK_SECONDS):
            health: Health = import_string(settings.CONNECTORS[kind])(config).check()
    except LocationError as error:
        return Health(is_reachable=False, message=error.said, horizon_days=None)
    days = health.horizon_days
    return health if days is None or 0 <= days <= LONGEST_HORIZON_DAYS else replace(health, horizon_days=None)


def check_location(location: Location, *, actor: Actor) -> Health:
    """Ask a place the same; the answer is kept and logged."""
    health = test_config(location.kind, config_of(location))
    _note_health(location, health)
    with transaction.atomic():
        location.save(update_fields=CHECKED)
        audit.append(
            Event.LOCATION_CHECKED,
            about="",
            actor=actor,
            location=location.pk,
            reachable=health.is_reachable,
            horizon_days=health.horizon_days,
        )
    return health


def _note_health(location: Location, health: Health) -> None:
    location.checked_at = timezone.now()
    location.is_reachable = health.is_reachable
    location.health = kept([health.message, *health.problems])
    location.horizon_days = health.horizon_days


def look_by_identity(location: Location, kind: str, value: str, *, purpose: str, actor: Actor) -> None:
    """Record that somebody tries a place with an identity, before it is asked. Whom it belongs to sees it (C-579/21)."""
    handles = import_string(settings.HANDLES_OF_IDENTITY)(kind, value)
    at = None if location._state.adding else location.pk
    with transaction.atomic():
        for handle in handles or [""]:
            audit.append(Event.LOCATION_TRIED, about=handle, actor=actor, location=at, purpose=purpose)


def ensure_own_locations(**_: Any) -> None:
    """Make the rows of our own places (after each `migrate`); a repeat does nothing."""
    for kind in settings.OWN_LOCATIONS:
        Location.objects.get_or_create(kind=kind, defaults={"name": OWN_NAMES[kind]})
