"""What `check --deploy` says about accounts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError

SAMPLE_DOMAIN = "sample.habeas.example"  # addresses of sample people end so


def no_sample_people(**kwargs: Any) -> list[CheckMessage]:
    """Sample people have passwords that everybody can read: never on a real site."""
    from apps.accounts.models import User

    if settings.SAMPLE_SITE:
        return [
            Error(
                "SAMPLE_SITE is on: sample people can sign in with known passwords.",
                hint="Unset SAMPLE_SITE.",
                id="accounts.E001",
            )
        ]
    try:
        there = User.objects.filter(email__endswith=f"@{SAMPLE_DOMAIN}").exists()
    except DatabaseError:  # before the first migrate there is nobody
        return []
    if there:
        hint = "Start with new databases, or delete the accounts."
        return [Error("Sample people exist in the database: their passwords are known.", hint=hint, id="accounts.E002")]
    return []


def staff_have_a_second_step(**kwargs: Any) -> list[CheckMessage]:
    if settings.STAFF_SECOND_STEP:
        return []
    return [
        Error(
            "STAFF_SECOND_STEP is off: staff get in with a password alone.",
            hint="Unset STAFF_SECOND_STEP.",
            id="accounts.E003",
        )
    ]
