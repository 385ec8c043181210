"""rotate_signing_key log|archives: put a new key into the file that holds the old one.

What the old one signed keeps verifying with its public half, which the log's entries, /audit/log/ and `audit_log_key --all`
name. The change itself becomes an entry as soon as the first restarted process signs.
"""

from __future__ import annotations

import base64
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import selectors, services
from apps.audit.errors import AuditError
from config import env

NAMES = {"log": "LOG_SIGNING_KEY", "archives": "ARCHIVE_SIGNING_KEY"}


class Command(BaseCommand):
    help = "Makes a new signing key of the log or of archives. All processes are restarted afterwards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("which", choices=list(NAMES))

    def handle(self, *args: Any, which: str, **options: Any) -> None:
        name = NAMES[which]
        path = env.file_of(name)
        if path is None:
            raise CommandError(
                f"{name} stands in the environment itself, which is not ours to change: put 32 new random bytes in base64 "
                "there (openssl rand -base64 32), and restart all processes"
            )
        old = selectors.public_key_text() if which == "log" else selectors.archive_key_text()
        try:
            services.sequence()  # what waits is signed with the old key, whose last checkpoint then covers it
            _replace(path, base64.b64encode(secrets.token_bytes(32)).decode())
        except AuditError as error:
            raise CommandError(f"nothing is changed, as the log cannot be signed: {error}") from None
        except OSError as error:
            raise CommandError(f"nothing is changed, as {path} cannot be written: {error.strerror}") from None
        self.stdout.write(
            f"{path} holds a new key. Restart all processes; the log then notes the change.\n"
            f"Auditors keep the public half of the old one:\n{old}"
        )


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
