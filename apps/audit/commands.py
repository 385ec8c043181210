"""The base of every command that reads or writes what is held: in quarantine it does nothing and says why."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import quarantine
from apps.audit.errors import Quarantined


class ContentCommand(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            quarantine.refuse()
        except Quarantined as error:
            raise CommandError(f"Nothing was done: {error}") from None
        return super().execute(*args, **options)
