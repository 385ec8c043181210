"""Writes places: their configuration sealed, each change with its entry in the log."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys.services import site_key
from apps.locations.contract import Health
from apps.locations.errors import LocationError
from apps.locations.models import Location
from apps.sealing import content
from apps.sealing.aead import associated_data

OWN_NAMES = {"records": "Conversations", "archives": "Your downloads", "account": "Account and requests"}


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


def save_location(location: Location, *, config: dict[str, Any], actor: Actor) -> Location:
    """Add a place or change one. From then on it takes part in every request."""
    added = location._state.adding
    location.sealed_config = content.seal_json(site_key("locations"), config, context=_context(location))
    with transaction.atomic():
        location.save()
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


def check_location(location: Location, *, actor: Actor) -> Health:
    """Ask a place whether it answers and what stands in the way of erasing there; the answer is kept and logged."""
    connector = import_string(settings.CONNECTORS[location.kind])(config_of(location))
    try:
        health: Health = connector.check()
    except LocationError as error:
        health = Health(is_reachable=False, message=str(error), horizon_days=None)
    with transaction.atomic():
        Location.objects.filter(pk=location.pk).update(
            checked_at=timezone.now(),
            is_reachable=health.is_reachable,
            health=" ".join([health.message, *health.problems])[:400],
            horizon_days=health.horizon_days,
        )
        audit.append(
            Event.LOCATION_CHECKED,
            about="",
            actor=actor,
            location=location.pk,
            reachable=health.is_reachable,
        )
    location.refresh_from_db()
    return health


def ensure_own_locations(**_: Any) -> None:
    """Make the rows of our own places (after each `migrate`); a repeat does nothing."""
    for kind in settings.OWN_LOCATIONS:
        Location.objects.get_or_create(kind=kind, defaults={"name": OWN_NAMES[kind]})
