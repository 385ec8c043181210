"""What `check --deploy` says about accounts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import DatabaseError, connection

SAMPLE_DOMAIN = "sample.example"  # addresses of sample people end so


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
        tables = connection.introspection.table_names()
    except DatabaseError:
        return [Warning("The records database does not answer: sample people may be in it.", id="accounts.W001")]
    there = User._meta.db_table in tables and User.objects.filter(email__endswith=f"@{SAMPLE_DOMAIN}").exists()
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
