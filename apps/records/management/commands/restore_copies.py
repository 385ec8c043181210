"""restore_copies: brings conversations back from the sealed copies of a rule, all of them or one person's or one."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from django.core.management.base import CommandError

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.locations.errors import LocationError
from apps.records.copies.restoring import restore
from apps.records.errors import SubjectNotFound
from apps.records.models import CopyPolicy
from apps.records.subjects import find_subject

SOME_FAILED = 4


class Command(ContentCommand):
    help = (
        "Restores conversations from sealed copies. What is held already is not written again. A copy is not a backup of "
        "the keys: what was erased stays erased, and without the keys database nothing opens. Prints one JSON object. "
        "Exit status: 0 all is held now, 4 some could not be restored, 1 the place does not answer or nothing is there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the place, as the staff site shows it")
        parser.add_argument("--subject", help="e-mail address or id of a person, or @FILE that holds it")
        parser.add_argument("--conversation", type=UUID, help="id of one conversation")

    def handle(self, *args: Any, name: str, subject: str | None, conversation: UUID | None, **options: Any) -> None:
        policy = CopyPolicy.objects.select_related("destination").filter(location__name=name).first()
        if policy is None:
            names = ", ".join(CopyPolicy.objects.order_by("location__name").values_list("location__name", flat=True))
            raise CommandError(f"There is no rule for copies of this name. There are: {names or 'none'}.")
        if policy.is_readable:
            raise CommandError("These copies are readable files: bring one in with import_conversations.")
        subject_id = self._person(subject) if subject else None
        try:
            result = restore(policy, actor=Actor.command_line(), subject_id=subject_id, conversation_id=conversation)
        except LocationError as error:
            raise CommandError(f"Not restored to the end: {error} Run it again: what is stored stays.") from None
        report = {
            "conversations": result.conversations,
            "messages": result.messages,
            "attachments": result.attachments,
            "already_held": result.already_held,
            "failed": [{"conversation": one.conversation_id, "why": why} for one, why in result.failed],
        }
        self.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
        if result.failed:
            raise SystemExit(SOME_FAILED)
        if not result.conversations and not result.already_held:
            raise CommandError("No copy of what was asked for is there.")

    def _person(self, value: str) -> UUID:
        if value.startswith("@"):
            try:
                value = Path(value[1:]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"Cannot read the file given to --subject: {error}") from None
        try:
            return find_subject(value).pk
        except SubjectNotFound:
            raise CommandError("Nobody is known by this id or address.") from None
