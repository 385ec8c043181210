"""Begin a new master key and wrap every live key under it; the old one can then be destroyed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.actors import Actor
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.keys.services import roll_master_key

PARTLY = 4


class Command(BaseCommand):
    help = "Begins a new master key and wraps every live key under it. Safe while the site works, and to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rolled = roll_master_key(actor=Actor.command_line())
        except (KeysError, AuditError) as error:
            raise CommandError(f"{error}. Nothing is lost: repeat the command, it goes on.") from None
        begun = "a new epoch was begun" if rolled.begun else "an unfinished roll was finished; repeat to begin another"
        self.stdout.write(
            f"epoch {rolled.epoch}: {begun}; {rolled.rewrapped} keys wrapped anew, {rolled.replaced} replaced, "
            f"{rolled.waiting} left to an erasure that has begun; {len(rolled.emptied)} older master keys are not needed "
            "any more. Next: backup_keys, then destroy_master_keys."
        )
        if rolled.damaged:
            raise CommandError(
                f"{rolled.damaged} keys do not open, and their master keys must stay: restore the keys database from a "
                "backup (restore_keys), or put a missing master key back",
                returncode=PARTLY,
            )
