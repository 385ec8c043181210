"""sweep: compares the storage with the database, both ways; removes only what it is told to."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import CommandError

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.locations.errors import LocationError
from apps.records.sweeping.comparing import MISSING, Finding
from apps.records.sweeping.services import run_sweep

WORDS = {
    "orphan": "objects of ours that no row names",
    "missing": "objects that rows name and the storage does not have",
    "unfinished": "left by uploads that never ended",
    "temporary": "temporary files that a killed process left",
    "expired": "archives whose time is over",
    "unknown": "objects that cannot be attributed",
}
DIFFERS = 4


class Command(ContentCommand):
    help = (
        "Compares the storage with the database, both ways, and reports; nothing is removed without --remove, and nothing "
        "that cannot be attributed without --unknown as well. What is younger than 24 hours is left alone. Exit status: "
        "0 they agree now, 4 they differ, 1 the storage does not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--remove", action="store_true", help="remove what is found")
        parser.add_argument("--unknown", action="store_true", help="with --remove: also what cannot be attributed")
        parser.add_argument("--list", action="store_true", help="print a line for each: kind, bytes, name")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, remove: bool, unknown: bool, **options: Any) -> None:
        if unknown and not remove:
            raise CommandError("--unknown says what --remove may take: give both, or see all with --list alone.")
        out = self.stderr if options["json"] else self.stdout

        def tell(finding: Finding) -> None:
            if options["list"]:
                out.write(_line(finding))

        try:
            row = run_sweep(actor=Actor.command_line(), remove=remove, unknown=unknown, tell=tell)
        except LocationError as error:
            raise CommandError(f"Not compared to the end: {error}. Try again when the storage answers.") from None
        left = sum(count["found"] - count["removed"] for count in row.counts.values())
        if options["json"]:
            report = {"objects": row.objects_seen, "rows": row.rows_seen, "removing": remove, "left": left}
            self.stdout.write(orjson.dumps(report | row.counts, option=orjson.OPT_INDENT_2).decode())
        else:
            self._print(row.objects_seen, row.rows_seen, row.counts, removing=remove)
        if left:
            raise SystemExit(DIFFERS)

    def _print(self, objects: int, rows: int, counts: dict[str, dict[str, int]], *, removing: bool) -> None:
        self.stdout.write(f"{objects} objects in the storage, {rows} rows older than 24 hours that name one.")
        for kind, count in counts.items():
            removed = f", removed {count['removed']}" if removing and kind != MISSING else ""
            self.stdout.write(f"{count['found']:>8} {WORDS[kind]} ({count['bytes']} bytes){removed}")
        if not removing and any(count["found"] for kind, count in counts.items() if kind != MISSING):
            self.stdout.write("Nothing was removed. Look at it with --list, then run it again with --remove.")


def _line(finding: Finding) -> str:
    name = "".join(map(_shown, finding.name))  # a name may hold anything, line ends too
    return f"{finding.kind} {finding.size} {name}{' removed' if finding.is_removed else ''}"


def _shown(character: str) -> str:
    return character if character.isprintable() and character != "\\" else character.encode("unicode_escape").decode()
