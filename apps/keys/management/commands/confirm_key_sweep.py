"""Look at the keys that no row names, and, when they are leftovers, have them destroyed although they are many."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.keys.services import look_for_ownerless_keys, sweep_ownerless_keys
from apps.keys.services.sweeping import Found

WAITING = 3
LOOK_FIRST = (
    "Nothing was destroyed. So many are rather a wrong database than leftovers: look first whether DATABASE_URL and "
    "KEYS_DATABASE_URL belong together. What these keys open is gone for good with them. If they are leftovers (of an "
    "import that was killed over and over): manage.py confirm_key_sweep --destroy {digest}"
)


class Command(ContentCommand):
    help = (
        "Shows the keys, older than a day, that no row names; --destroy destroys them by signed intent, also when they are "
        "more than the hourly sweep destroys without a person. Exit status: 0 none waits, 1 refused, 3 they wait for a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--destroy", metavar="SHA256", help="destroy them, if they are still exactly those that were shown with it"
        )

    def handle(self, *args: Any, destroy: str | None, **options: Any) -> None:
        found = look_for_ownerless_keys()
        if found.rests_until is not None:
            raise CommandError(
                f"Keys were restored: nothing is swept until {found.rests_until:%Y-%m-%d %H:%M} UTC, as another restore may "
                "follow."
            )
        self.stdout.write(in_words(found))
        if destroy is not None:
            self._destroy(destroy)
        elif found.needs_person:
            raise CommandError(LOOK_FIRST.format(digest=found.digest), returncode=WAITING)
        elif found.keys:
            self.stdout.write("Nothing was destroyed: so few go with the next hourly sweep, without a person.")

    def _destroy(self, digest: str) -> None:
        try:
            swept = sweep_ownerless_keys(confirmed_by=Actor.command_line(), confirmed=digest)
        except (KeysError, AuditError) as error:
            raise CommandError(f"Nothing was destroyed: {error}. Look at what is shown now.") from None
        self.stdout.write(
            f"{swept.destroyed} keys destroyed; the log has who confirmed it, the intent and the outcome."
        )


def in_words(found: Found) -> str:
    if not found.keys:
        return f"No key is without an owner ({found.live} keys live)."
    kinds = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(found.kinds.items()))
    return (
        f"{found.keys} of {found.live} live keys ({found.keys / found.live:.1%}) are named by no row: {kinds}; made between "
        f"{found.first_made:%Y-%m-%d %H:%M} and {found.last_made:%Y-%m-%d %H:%M} UTC. "
        f"SHA-256 of their ids: {found.digest}"
    )
