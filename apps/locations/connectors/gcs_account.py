"""By which account a place of Google Cloud Storage may ask, and where that account may sign in."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from django.conf import settings

from apps.locations.errors import Refused
from apps.locations.said import said as _

SIGN_IN = {"oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"}


def check_where_it_signs_in(key: str, endpoint: str | None) -> None:
    """A key names where it signs in: Google, or the store itself. Anywhere else would be asked from within our network."""
    where = urlsplit(str(json.loads(key).get("token_uri") or ""))
    is_google = where.scheme == "https" and where.netloc in SIGN_IN
    if not is_google and not (endpoint and where.hostname == urlsplit(endpoint).hostname):
        raise Refused(_("The key names another place to sign in than Google."))


def check_own_account(bucket: str) -> None:
    """Whoever adds a place may not use what the machine may do, unless its operator says so; and never on our own storage."""
    if not settings.LOCATION_MACHINE_ACCOUNT:
        raise Refused(_("Write the key of a service account: places do not get the one of the machine."))
    if bucket == settings.STORAGES["default"].get("OPTIONS", {}).get("bucket_name"):
        raise Refused(_("Habeas keeps its own objects in this bucket: name another one."))
