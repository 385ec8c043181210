"""rotate_blind_index [INDEX …]: a new key for blind indexes, and every row brought under it, on a running site."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.records.indexing.rotating import Rotated, index_names, rotate_index

PARTLY = 4


class Command(ContentCommand):
    help = (
        "Makes a new key for blind indexes and brings every row under it. Safe while the site works, and to repeat: one "
        "that broke off goes on. Exit status: 0 done, 4 rows are left that the schedule brings over later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "index", nargs="*", help="which (default: all that are in use): identity-email, conversation …"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = index_names()
        wanted = options["index"] or names
        unknown = sorted(set(wanted) - set(names))
        if unknown:
            raise CommandError(f"{unknown[0]} is not in use. In use: {', '.join(names) or 'none yet'}")
        left = [rotated.name for rotated in map(self._rotate, wanted) if rotated.left]
        if left:
            raise CommandError(
                f"Rows are left under an earlier key of {', '.join(left)}: a place does not answer, or an erasure is under "
                "way. The schedule goes on every hour; or repeat the command.",
                returncode=PARTLY,
            )

    def _rotate(self, name: str) -> Rotated:
        try:
            rotated = rotate_index(name, actor=Actor.command_line(), progress=self._show)
        except (AuditError, KeysError) as error:
            raise CommandError(f"{name}: {error}. Nothing is lost: repeat the command, it goes on.") from None
        self.stdout.write(in_words(rotated))
        return rotated

    def _show(self, name: str, done: int, total: int) -> None:
        self.stdout.write(f"{name}: {done} of {total} rows")


def in_words(rotated: Rotated) -> str:
    begun = "begun" if rotated.begun else "gone on with; repeat to begin another"
    text = f"{rotated.name}: key {rotated.number} {begun}; {rotated.renewed} rows brought under it"
    if rotated.destroyed:
        text += f", {rotated.destroyed} earlier keys destroyed"
    if rotated.kept:
        text += (
            f". {rotated.kept} rows stay under an earlier key, which is kept for them alone: what they stand for is not "
            "known any more. They go with their person or on their day, and the key with the last of them"
        )
    return f"{text}."
