"""Import a file of conversations for one person, from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.locations.errors import LocationError
from apps.records import importers, services
from apps.records.errors import (
    RecordingNotAllowed,
    RecordingRestricted,
    RecordsError,
    SubjectFrozen,
    SubjectNotFound,
    SubjectSuppressed,
)
from apps.records.models import Subject
from apps.records.reports import ImportReport
from apps.records.subjects import create_subject, find_subject, subject_for

ALL_HELD, NOTHING_READ, SOME_SKIPPED = 0, 1, 4


class Command(ContentCommand):
    help = (
        "Imports conversations from a file (ChatGPT, Claude, Open WebUI, LibreChat, OpenAI, text, CSV, pictures, an "
        "archive of this site) for one person, and prints one JSON object. Exit status: 0 all held, 4 some skipped, "
        "1 nothing could be read. Importing twice adds nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument(
            "--subject", required=True, help="e-mail address or id of the person, or @FILE that holds it"
        )
        parser.add_argument("--format", default="auto", choices=importers.FORMATS)

    def handle(self, *args: Any, path: Path, subject: str, format: str, **options: Any) -> None:
        report = ImportReport(format=format)
        try:
            report = self._read(path, subject, format)
            problem = "" if report.read else "No conversation could be read. See the reasons under “skipped”."
        except importers.UnreadableFile as error:
            report.skip(path.name, error.why)
            problem = error.why
        except SubjectFrozen:
            raise CommandError("An erasure of this person's data has begun: nothing more is stored.") from None
        except RecordingRestricted:
            raise CommandError("The use of this person's data is restricted: nothing new is stored.") from None
        except RecordingNotAllowed:
            raise CommandError("This person has withdrawn the consent to keeping new conversations.") from None
        except (LocationError, RecordsError) as error:
            raise CommandError(f"The import stopped: {error}. Run it again: what is stored stays.") from None
        self.stdout.write(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2).decode())
        if problem:
            self.stderr.write(problem)
            raise SystemExit(NOTHING_READ)
        if report.skipped_count:
            raise SystemExit(SOME_SKIPPED)

    def _read(self, path: Path, subject: str, format: str) -> ImportReport:
        """Store what is in the file. Nobody is added for one that is not there."""
        if not path.is_file():
            raise importers.UnreadableFile("There is no such file.")
        return services.import_path(self._person(subject), path, actor=Actor.command_line(), format=format)

    def _person(self, value: str) -> Subject:
        """Find the person; an address that nobody has yet becomes a new one, an id must be known."""
        if value.startswith("@"):
            try:
                value = Path(value[1:]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"Cannot read the file given to --subject: {error}") from None
        try:
            return find_subject(value)
        except SubjectNotFound:
            if "@" not in value:
                raise CommandError("Nobody is known by this id. Give an e-mail address to add a person.") from None
        account = User.objects.filter(email__iexact=value.strip()).first()
        try:
            validate_email(value.strip())
        except ValidationError:
            raise CommandError("This is no e-mail address, and nobody is known by it.") from None
        try:
            return subject_for(account) if account else create_subject(emails=[value], actor=Actor.command_line())
        except SubjectSuppressed:
            raise CommandError(
                "This person was erased, and is not brought in again by others for now (SUPPRESSION_DAYS). "
                "They can sign up themselves."
            ) from None
