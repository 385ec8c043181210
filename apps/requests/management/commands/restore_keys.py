"""Read a backup of the keys database in. What was destroyed since stays destroyed; what is lost is counted."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.quarantine import Reason
from apps.keys.errors import KeysError
from apps.keys.services import damaged_keys, restore_keys
from apps.requests.replaying.lost import count_lost

MOST_NAMED = 1000


class Command(BaseCommand):
    help = "Reads a backup of the keys database in. A key that was destroyed since stays destroyed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--foreign", action="store_true", help="the backup is of another installation, and its keys belong here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with quarantine.replaying():
            try:
                result = restore_keys(options["file"], actor=Actor.command_line(), foreign=options["foreign"])
            except KeysError as error:
                raise CommandError(str(error)) from None
            self.stdout.write(
                f"{result.keys} keys and {result.tombstones} tombstones restored; {result.stay_destroyed} keys of the "
                "backup were destroyed since and stay so."
            )
            loss = count_lost()
            if loss.keys:
                self.stdout.write(f"Lost with {len(loss.keys)} keys made since the backup: {loss.in_words()}.")
                quarantine.enter(Reason.KEYS_LOST)
            damaged = [str(key_id) for key_id in islice(damaged_keys(), MOST_NAMED)]
        if damaged:
            raise CommandError(f"{len(damaged)} keys of this database do not open, among them {damaged[0]}")
        if quarantine.check():
            self.stdout.write("The site stands in quarantine. Run manage.py replay_tombstones to open it.")
