"""verify_receipt FILE [--key KEY]: body → entry → leaf → root → signature. Exit 0: good, 1: bad."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import proofs
from apps.audit.errors import BadProof
from apps.audit.selectors import keys_of_every_log


class Command(BaseCommand):
    help = "Checks a receipt against this site's log key, or another one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--key", default="", help="verifier key, or a file holding it (default: this site's)")

    def handle(self, *args: Any, file: Path, key: str, **options: Any) -> None:
        try:
            text = file.read_text(encoding="utf-8")
            key_texts = _keys(key)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {file}: {error}") from None
        try:
            proof = proofs.check_receipt(text, *key_texts)
        except BadProof as error:
            raise CommandError(
                f"bad: {error}. Ask for the receipt again, from its page or with fetch_receipt"
            ) from None
        body = json.loads(proof.body or b"{}")
        self.stdout.write(
            f"good: receipt {body['number']} of {body['reference']} stands at place {proof.index} of the log "
            f"{proof.checkpoint.origin}; {_said(body)}, {len(body['places'])} places"
        )


def _said(body: dict[str, Any]) -> str:
    """Say what the receipt is of."""
    if "act" in body:
        return f"{body['act']} at {body['done_at']}"
    by = body["irrecoverable_by"] or f"no date ({body.get('irrecoverable_code')})"
    return f"unreadable from {body['unreadable_at']}, irrecoverable by {by}"


def _keys(given: str) -> list[str]:
    """This site's keys, the earlier ones too; or the one given."""
    if not given:
        return [str(key) for key in keys_of_every_log()]
    path = Path(given)
    return [path.read_text(encoding="utf-8").strip() if path.is_file() else given]
