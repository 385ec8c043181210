"""An e-mail to the auditors, who keep it: nobody here can take it back. It cannot be read again from here."""

from __future__ import annotations

from collections.abc import Iterator
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.core.mail import EmailMessage

from apps.audit import notes
from apps.audit.errors import AnchorRefused, AnchorUnreachable

# In English on purpose: it is written by a machine for people who are not known here, like the log itself.
TEXT = """\
This is the newest checkpoint of the audit log of {organisation}: the log had {size} entries.

Please keep this letter. Whoever rewrites the log, or rolls it back, cannot change what you hold. To check the log
against it, save the attachment and run

    python habeas_verify.py log FILE --key KEY --checkpoint checkpoint

FILE is the auditors' bundle or the raw entries from {address}/audit/.

{note}"""


class LetterAnchor:
    can_be_read = False

    def __init__(self, *, to: list[str]) -> None:
        self._to = to

    def publish(self, note: str) -> bytes:
        size = notes.read_checkpoint(note).size
        text = TEXT.format(organisation=settings.ORGANISATION_NAME, size=size, address=settings.SITE_URL, note=note)
        letter = EmailMessage(f"Checkpoint of the audit log: {size} entries", text, to=self._to)
        letter.attach("checkpoint", note, "text/plain")
        try:
            letter.send()
        except SMTPRecipientsRefused:
            raise AnchorRefused("the mail server refuses the address") from None
        except SMTPResponseException as error:
            if error.smtp_code >= 500:
                raise AnchorRefused(f"the mail server says {error.smtp_code}") from None
            raise AnchorUnreachable("the mail server does not take it now") from None
        except (SMTPException, OSError):
            raise AnchorUnreachable("the mail server does not answer") from None
        return b""

    def kept(self) -> Iterator[str]:
        return iter(())
