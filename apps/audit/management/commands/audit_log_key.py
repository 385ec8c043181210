"""audit_log_key [log|archives] [--all]: print the public keys that verifiers are given; with an argument just that one.

With --all also those from before a change, newest first: what was signed with them is checked with them.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.audit import selectors


class Command(BaseCommand):
    help = "Prints the verifier keys (name+hash+base64) of the log, and so of receipts, and of archives."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("which", nargs="?", choices=["log", "archives"])
        parser.add_argument("--all", action="store_true", dest="earlier", help="earlier keys too, one a line")

    def handle(self, *args: Any, which: str | None, earlier: bool, **options: Any) -> None:
        keys = {"log": [selectors.public_key_text()], "archives": [selectors.archive_key_text()]}
        if earlier:
            found = {"log": selectors.keys_of_every_log(), "archives": selectors.archive_keys()}
            keys = {name: [str(key) for key in listed] for name, listed in found.items()}
        lines = keys[which] if which else [f"{name:9}{key}" for name, listed in keys.items() for key in listed]
        self.stdout.write("\n".join(lines))
