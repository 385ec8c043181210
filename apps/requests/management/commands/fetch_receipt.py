"""fetch_receipt REFERENCE --output FILE: what the person gets at the end of an erasure, a .tlog-proof."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from apps.audit.actors import Actor
from apps.audit.commands import ContentCommand
from apps.audit.errors import AuditError
from apps.audit.events import Purpose
from apps.requests.errors import RecordErased
from apps.requests.selectors import by_reference, receipt_file, receipts_of
from apps.requests.services import look_at_request


class Command(ContentCommand):
    help = "Writes the newest receipt of a request to a file; verify_receipt checks it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference")
        parser.add_argument("--output", required=True, type=Path, metavar="FILE")

    def handle(self, *args: Any, reference: str, output: Path, **options: Any) -> None:
        request = by_reference(reference)
        if request is None:
            raise CommandError("no such request: check the reference, as in HB-7Q4K-2M9X")
        receipts = receipts_of(request)
        if not receipts:
            raise CommandError(f"{request.reference} has no receipt; it is {request.kind}, {request.status}")
        look_at_request(request, purpose=Purpose.DELIVERY, actor=Actor.command_line())
        try:
            output.write_text(receipt_file(receipts[0]), encoding="utf-8")
        except RecordErased:
            raise CommandError(f"the record of {request.reference} is erased: its retention is over") from None
        except (OSError, AuditError) as error:
            raise CommandError(f"cannot write {output}: {error}") from None
        final = "final" if receipts[0].is_final else "not final: a place is still blocked"
        self.stdout.write(f"{output}: receipt {receipts[0].number} of {request.reference}, {final}")
