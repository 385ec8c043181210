"""After a restore: repeat the erasures since the backup, prove that nothing erased opens, open the site."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.locations.errors import LocationError
from apps.records.copies.restoring import restore_commands
from apps.records.tasks import poke_returns
from apps.requests.replaying import CannotReplay, Replayed, replay_tombstones

COMES_BACK = (
    "What was kept since the backup, and what is lost above, may lie in sealed copies. A worker brings it back now; the page of "
    "each rule for copies shows how far it is. What was erased stays shut. Where no worker runs, these do the same:"
)


class Command(BaseCommand):
    help = (
        "After a restore: puts the log back from its published tiles, repeats every erasure since the backup, proves "
        "that nothing erased opens, and opens the site. Exit status: 0 open, 1 still in quarantine. Safe to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--accept-loss",
            action="store_true",
            help="go on although some keys are lost for good: what only they opened is taken away",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not quarantine.reason():
            self.stdout.write("The site does not stand in quarantine: there is nothing to repeat.")
            return
        try:
            done = replay_tombstones(actor=Actor.command_line(), accept_loss=options["accept_loss"])
        except CannotReplay as error:
            raise CommandError(f"The site stays in quarantine. {error}") from None
        except (AuditError, KeysError, LocationError) as error:
            raise CommandError(f"The site stays in quarantine: {error}. Run this again.") from None
        self.stdout.write(in_words(done))
        commands = restore_commands()
        if commands:
            poke_returns()
            self.stdout.write(f"{COMES_BACK}\n  " + "\n  ".join(commands))


def in_words(done: Replayed) -> str:
    erased = done.erased
    lines = [
        f"Log: {done.entries} entries put back.",
        f"Keys: {done.keys} destroyed once more, {done.replaced} replaced once more.",
        f"Erased once more: {erased.people} people, {erased.conversations} conversations, {erased.uploads} uploads, "
        f"{erased.archives} archives, {erased.documents} documents, {erased.requests} records of requests.",
    ]
    if done.loss.keys:
        lines.append(f"Lost, as no key opens it any more: {done.loss.in_words()}.")
    if erased.lost_conversations or erased.lost_identities:
        lines.append(
            f"Lost, as the backup has them under a key that was replaced since: {erased.lost_conversations} "
            f"conversations, {erased.lost_identities} identities. Copies and exports of your people may have them."
        )
    if done.entries_lost:
        lines.append(
            f"Lost with earlier keys of blind indexes: {done.entries_lost} notes of who or what shall not be brought in again."
        )
    lines.append("Nothing erased opens. The site is open.")
    return "\n".join(lines)
