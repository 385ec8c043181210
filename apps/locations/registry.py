"""Finds the connector of a place by its kind. A new kind is one module and one line in settings.CONNECTORS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from apps.locations.contract import Connector
from apps.locations.models import Location
from apps.locations.services import config_of


def connector_class(kind: str) -> Any:
    """Return the class; raises KeyError for a kind that is not registered."""
    return import_string(settings.CONNECTORS[kind])


def connector_for(location: Location) -> Connector:
    """Return the connector of a place, made from its opened configuration."""
    connector: Connector = connector_class(location.kind)(config_of(location))
    return connector


def configurable_kinds() -> dict[str, Any]:
    """Return the kinds that staff can add, each with its class (which has `label` and `ConfigForm`)."""
    return {kind: connector_class(kind) for kind in settings.CONNECTORS if kind not in settings.OWN_LOCATIONS}
