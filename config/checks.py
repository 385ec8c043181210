"""What `check --deploy` says about an installation as a whole."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning


def real_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Name what is meant for one machine and must not go live."""
    found: list[CheckMessage] = []
    if not settings.SITE_URL.startswith("https://"):
        found.append(Error("SITE_URL is not https.", hint="People send passwords to it.", id="config.E001"))
    if settings.EMAIL_FILE_PATH:
        found.append(Error("Letters go to a folder of this machine.", hint="Set EMAIL_URL=smtp://…", id="config.E002"))
    if settings.COMMAND_LINE_APPROVAL:
        found.append(Error("COMMAND_LINE_APPROVAL is on: one shell approves erasures.", id="config.E003"))
    if settings.ORGANISATION_NAME == "Larkspur" or settings.PRIVACY_CONTACT.endswith("larkspur.example"):
        hint = "Set ORGANISATION_NAME, ORGANISATION_ADDRESS and PRIVACY_CONTACT."
        found.append(Error("The organisation is still the sample one, Larkspur.", hint=hint, id="config.E004"))
    if settings.CACHES["default"]["BACKEND"].endswith("LocMemCache"):
        hint = "Set CACHE_URL=redis://…, or run a single web process and silence this."
        found.append(Warning("Rate limits are counted in each process alone.", hint=hint, id="config.W001"))
    if len(settings.ANCHORS) < settings.ANCHORS_WANTED:
        hint = "Set ANCHORS: docs/audit-log.md lists what it may name. ANCHORS_WANTED is the policy."
        few = f"Checkpoints of the log are left at {len(settings.ANCHORS)} of {settings.ANCHORS_WANTED} anchors."
        found.append(Warning(few, hint=hint, id="config.W002"))
    return found
