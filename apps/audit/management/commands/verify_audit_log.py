"""verify_audit_log [--checkpoint FILE]: rebuild the log from its raw entries and compare everything that was signed."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import verification
from apps.audit.errors import LogDamaged


class Command(BaseCommand):
    help = "Checks the audit log: entries, tiles, root, signature, published files. Exit 0: good, 1: bad."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="an older checkpoint that somebody kept")

    def handle(self, *args: Any, checkpoint: Path | None, **options: Any) -> None:
        try:
            kept = checkpoint.read_text(encoding="utf-8") if checkpoint else None
            report = verification.verify_everything(kept)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {checkpoint}: {error}") from None
        except LogDamaged as error:
            raise CommandError(f"bad: {error}. Keep everything as it is and find out why") from None
        waiting = f", {report.unsigned} not signed yet" if report.unsigned else ""
        self.stdout.write(f"good: {report.size} entries give the signed root{waiting}")
