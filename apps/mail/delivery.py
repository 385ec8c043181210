"""Handing one letter to the mail server, or to a folder of this machine."""

from __future__ import annotations

import smtplib
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from apps.mail.errors import Refused, Undeliverable

PERMANENT = 500  # RFC 5321 4.2.1: replies from 500 on say that a repeat will not help


def deliver(letter_id: UUID, letter: dict[str, str]) -> None:
    """Send a letter. Raises Refused when the server will never take it, Undeliverable when another try may help."""
    message = EmailMultiAlternatives(
        subject=letter["subject"],
        body=letter["text"],
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[letter["to"]],
        headers={"Message-ID": message_id(letter_id), "Auto-Submitted": "auto-generated"},  # RFC 3834
    )
    message.attach_alternative(letter["html"], "text/html")
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise (Refused if codes and min(codes) >= PERMANENT else Undeliverable)("recipient refused") from None
    except smtplib.SMTPDataError as error:
        raise (Refused if error.smtp_code >= PERMANENT else Undeliverable)("message refused") from None
    except ValueError:  # Django cannot write such an address or header; its message quotes it
        raise Refused("not an address that a letter can be sent to") from None
    except (smtplib.SMTPException, OSError) as error:
        raise Undeliverable(type(error).__name__) from None


def message_id(letter_id: UUID) -> str:
    """The same for every try, so that a letter sent twice can be told by its reader."""
    return f"<{letter_id}@{urlsplit(settings.SITE_URL).hostname}>"


def delete_files_of(letter_id: UUID) -> None:
    """Delete what FolderBackend wrote for a letter, a half written file included."""
    if settings.EMAIL_FILE_PATH:
        for ending in ("eml", "part"):
            (Path(settings.EMAIL_FILE_PATH) / f"{letter_id}.{ending}").unlink(missing_ok=True)
