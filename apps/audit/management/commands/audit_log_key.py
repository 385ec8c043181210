"""audit_log_key [log|archives]: print the public keys that verifiers are given; with an argument just that one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.audit import selectors


class Command(BaseCommand):
    help = "Prints the verifier keys (name+hash+base64) of the log, and so of receipts, and of archives."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("which", nargs="?", choices=["log", "archives"])

    def handle(self, *args: Any, which: str | None, **options: Any) -> None:
        keys = {"log": selectors.public_key_text(), "archives": selectors.archive_key_text()}
        self.stdout.write(keys[which] if which else "\n".join(f"{name:9}{key}" for name, key in keys.items()))
