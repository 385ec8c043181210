"""Finds the connector of a place by its kind. A new kind is one module and one line in settings.CONNECTORS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from apps.locations.contract import Connector, Recognises
from apps.locations.models import Location
from apps.locations.services import config_of


def connector_class(kind: str) -> Any:
    """Return the class; raises KeyError for a kind that is not registered."""
    return import_string(settings.CONNECTORS[kind])


def connector_for(location: Location) -> Connector:
    """Return the connector of a place, made from its opened configuration."""
    connector: Connector = connector_class(location.kind)(config_of(location))
    return connector


def what_lasts(kind: str) -> Promise | str:
    """Return what a kind of place still has when an erasure has ended, where that is no old copies but something else."""
    lasting: Promise | str = getattr(connector_class(kind), "what_lasts", "") if kind in settings.CONNECTORS else ""
    return lasting


def configurable_kinds() -> dict[str, Any]:
    """Return the kinds that staff can add, each with its class (which has `label` and `ConfigForm`)."""
    kinds = {kind: connector_class(kind) for kind in settings.CONNECTORS if kind not in settings.OWN_LOCATIONS}
    return {kind: connector for kind, connector in kinds.items() if hasattr(connector, "ConfigForm")}


def kinds_asked_for() -> dict[str, list[Location]]:
    """Return the kinds of identity by which the places in use know people, each with those places."""
    asked: dict[str, list[Location]] = {}
    for location in Location.objects.that_ever_held_data().filter(is_enabled=True):
        connector = connector_for(location)
        for kind in connector.identity_kinds() if isinstance(connector, Recognises) else ():
            asked.setdefault(kind, []).append(location)
    return asked
