"""Read a backup of the keys database in. What was destroyed since stays destroyed."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.actors import Actor
from apps.keys.errors import KeysError
from apps.keys.services import damaged_keys, restore_keys

MOST_NAMED = 1000


class Command(BaseCommand):
    help = "Reads a backup of the keys database in. A key that was destroyed since stays destroyed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--foreign", action="store_true", help="the backup is of another installation, and its keys belong here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = restore_keys(options["file"], actor=Actor.command_line(), foreign=options["foreign"])
        except KeysError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{result.keys} keys and {result.tombstones} tombstones restored; {result.stay_destroyed} keys of the backup "
            "were destroyed since and stay so."
        )
        damaged = [str(key_id) for key_id in islice(damaged_keys(), MOST_NAMED)]
        if damaged:
            raise CommandError(f"{len(damaged)} keys of this database do not open, among them {damaged[0]}")
