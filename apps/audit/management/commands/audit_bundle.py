"""audit_bundle FILE: write the auditors' bundle, one ZIP with which the log can be checked elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import bundles, services
from apps.audit.errors import NotSigned


class Command(BaseCommand):
    help = "Writes checkpoint, tiles, entries, proofs of the anchors, verifier and instructions into one ZIP."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        part = file.with_name(f".{file.name}.part")
        try:
            checkpoint = services.sequence()
            with part.open("wb") as out:
                for chunk in bundles.bundle(checkpoint):
                    out.write(chunk)
            part.replace(file)
        except NotSigned as error:
            raise CommandError(f"nothing is written, as the log cannot be signed: {error}") from None
        except OSError as error:
            part.unlink(missing_ok=True)
            raise CommandError(f"cannot write {file}: {error.strerror}") from None
        self.stdout.write(f"{file}: {checkpoint.size} entries")
