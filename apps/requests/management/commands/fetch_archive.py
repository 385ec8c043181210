"""fetch_archive REFERENCE --output FILE --reason TEXT: an archive for delivery by other means, with an entry in the log."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from apps.archives.errors import ArchiveError
from apps.archives.models import Archive
from apps.archives.selectors import is_readable, read_range
from apps.archives.services import note_served
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.audit.events import Event, Purpose
from apps.locations.errors import LocationError
from apps.requests.models import PrivacyRequest
from apps.requests.selectors import archives_of, by_reference
from apps.requests.services import send_message


class Command(ContentCommand):
    help = "Writes the newest archive of a request to a file. The log and the person are told."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference")
        parser.add_argument("--output", required=True, type=Path, metavar="FILE")
        parser.add_argument(
            "--reason", required=True, metavar="TEXT", help="why it is delivered by other means; the person reads it"
        )
        parser.add_argument("--number", type=int, help="which of several archives (default: the newest)")

    def handle(self, *args: Any, reference: str, output: Path, reason: str, number: int | None, **options: Any) -> None:
        request = by_reference(reference)
        if request is None:
            raise CommandError("no such request: check the reference, as in HB-7Q4K-2M9X")
        if not reason.strip():
            raise CommandError("--reason is empty: say why the archive is delivered by other means")
        archive = self._archive(request, number)
        with transaction.atomic():
            audit.append(
                Event.ARCHIVE_DELIVERED,
                about=request.handle,
                actor=Actor.command_line(),
                archive=archive.pk,
                purpose=Purpose.DELIVERY,
            )
            send_message(request, reason, actor=Actor.command_line())
        try:
            size = write(archive, output)
        except (OSError, ArchiveError, LocationError) as error:
            raise CommandError(f"cannot write {output}: {error}") from None
        note_served(archive.pk, 0, size, actor=Actor.command_line())  # an erasure waits for it no longer
        self.stdout.write(f"{output}: {size} bytes, archive {archive.number} of {request.reference}")

    def _archive(self, request: PrivacyRequest, number: int | None) -> Archive:
        found = archives_of(request)
        if number is not None:
            found = found.filter(number=number)
        archive = found.order_by("-number").first()
        if archive is None:
            raise CommandError(f"{request.reference} has no archive; it is {request.status}")
        if not is_readable(archive):
            raise CommandError(f"the archive of {request.reference} has expired: its key is destroyed; file again")
        return archive


def write(archive: Archive, output: Path) -> int:
    """Write the archive for this user's eyes only; what is not complete is deleted again."""
    part = output.with_name(f"{output.name}.part")
    size = 0
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for chunk in read_range(archive, 0, archive.size or 0):
                size += file.write(chunk)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return size
