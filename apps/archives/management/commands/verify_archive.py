"""verify_archive FILE: check an archive with the standalone verifier and this site's key."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.selectors import archive_keys
from verify import habeas_verify


class Command(BaseCommand):
    help = "Checks an archive that this site has made: signature, manifest, every byte. Exit 0: good, 1: bad."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        keys = habeas_verify.read_keys([str(key) for key in archive_keys()])
        try:
            found = habeas_verify.check_archive(file, keys, Namespace())
        except habeas_verify.Bad as error:
            raise CommandError(f"bad: {error}. Download it again; if that is bad, too, tell the operator") from None
        self.stdout.write(f"good: {found}")
