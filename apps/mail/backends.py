"""A mail folder for one machine: each letter becomes a file that any mail program opens.

It stands for mail that has left: the last letter of an erasure goes out when everything else is gone, and lies here
afterwards. So the folder keeps no address: of the recipient only the first letter and the domain are written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class FolderBackend(BaseEmailBackend):
    """Writes <letter id>.eml into EMAIL_FILE_PATH, readable by the owner alone; a repeat replaces the file."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(str(settings.EMAIL_FILE_PATH))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for message in email_messages:
            name = message.extra_headers["Message-ID"].strip("<>").partition("@")[0]
            part = folder / f"{name}.part"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(_without_address(message))
                os.fsync(file.fileno())
            part.replace(folder / f"{name}.eml")
        return len(email_messages)


def _without_address(message: EmailMessage) -> bytes:
    letter = message.message()
    del letter["To"]
    letter["To"] = ", ".join(f"{address[:1]}...@{address.rpartition('@')[2]}" for address in message.to)
    return letter.as_bytes()
