"""Write a verified backup of the keys database: wrapped keys and tombstones, never a master key."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.actors import Actor
from apps.keys.errors import KeysError
from apps.keys.services import back_up_keys


class Command(BaseCommand):
    help = (
        "Writes a verified backup of the keys database. It opens nothing without the master keys, which are not in it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="where to write it; a file of that name is replaced")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            written = back_up_keys(options["file"], actor=Actor.command_line())
        except KeysError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error.strerror}") from None
        self.stdout.write(
            f"{options['file']}: {written.keys} keys and {written.tombstones} tombstones of installation "
            f"{written.installation}, SHA-256 {written.sha256.hex()}. Keep it no longer than KEYS_BACKUP_RETENTION_DAYS, "
            "and never beside the master keys."
        )
