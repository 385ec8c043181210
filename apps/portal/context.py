"""What every template of the site may name: the organisation, and where a person may turn."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def organisation(request: HttpRequest) -> dict[str, Any]:
    """Return the organisation's name and contacts, and the languages with the one in use."""
    return {
        "organisation": {
            "name": settings.ORGANISATION_NAME,
            "contact": settings.PRIVACY_CONTACT,
            "address": settings.ORGANISATION_ADDRESS,
            "authority_url": settings.SUPERVISORY_AUTHORITY_URL,
            "site_url": settings.SITE_URL,
        },
        "languages": settings.LANGUAGES,
    }
