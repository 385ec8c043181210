"""Letters: written and sealed with the change that causes them, then sent at least once.

A letter that was sent just before a crash is sent again: its Message-ID stays the same, so that mail programs can
fold the two. No lock is held while a mail server is spoken to: the sender takes a lease on the row instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone, translation
from kombu.exceptions import KombuError

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.mail import delivery
from apps.mail.errors import Refused, Undeliverable, UnreadableLetter
from apps.mail.models import Letter
from apps.sealing import aead, content
from apps.sealing.errors import DecryptionError

LEASE = timedelta(minutes=2)  # longer than EMAIL_TIMEOUT lets one delivery take
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=7)  # RFC 5321 4.5.4.1 asks for 4 to 5 days at least
KEEP_ENDED = timedelta(days=30)  # rows of letters that were sent or given up; they hold no content


def queue_letter(
    template: str,
    *,
    to: str,
    owner: UUID | None,
    key_id: UUID | None = None,
    language: str,
    context: dict[str, Any],
) -> Letter:
    """Render a letter in a language, seal it, and write its row in the caller's transaction.

    Templates: mail/<template>.subject.txt, .txt and .html. Without `key_id` the site's letter key seals it.
    """
    letter = Letter(id=uuid4(), template=template, owner=owner, key_id=key_id, next_try_at=timezone.now())
    letter.sealed = content.seal_json(
        _key_of(letter), _render(template, to, language, context), context=_place_of(letter)
    )
    letter.save(force_insert=True)
    transaction.on_commit(_poke, robust=True)
    return letter


def send_letter(letter_id: UUID) -> bool:
    """Send one due letter; False when another sender holds it, it is not due, or it did not get through this time."""
    letter = Letter.objects.filter(pk=letter_id, state=Letter.State.PENDING, next_try_at__lte=timezone.now()).first()
    if letter is None or not _claim(letter):
        return False
    try:
        delivery.deliver(letter.pk, _open(letter))
    except (UnreadableLetter, Refused):
        _end(letter, Letter.State.FAILED)
        return False
    except Undeliverable:
        _postpone(letter)
        return False
    _end(letter, Letter.State.SENT)
    return True


def send_due_letters(limit: int = 200) -> int:
    """Send what is due, oldest first; return how many got through."""
    due = Letter.objects.filter(state=Letter.State.PENDING, next_try_at__lte=timezone.now()).order_by("next_try_at")
    return sum(send_letter(letter_id) for letter_id in list(due.values_list("pk", flat=True)[:limit]))


def erase_letters(owners: Iterable[UUID]) -> int:
    """Delete every letter of these owners, and the files that a mail folder keeps of them; return how many rows went."""
    letter_ids = list(Letter.objects.filter(owner__in=list(owners)).values_list("pk", flat=True))
    _delete_files(letter_ids)
    return Letter.objects.filter(pk__in=letter_ids).delete()[0]


def count_letters(owners: Iterable[UUID]) -> int:
    """How many letters of these owners are there, sent ones included."""
    return Letter.objects.filter(owner__in=list(owners)).count()


def purge_letters() -> int:
    """Delete the rows of letters that ended a while ago, with their files; return how many."""
    ended = Letter.objects.exclude(state=Letter.State.PENDING).filter(created_at__lt=timezone.now() - KEEP_ENDED)
    letter_ids = list(ended.values_list("pk", flat=True)[:1000])
    _delete_files(letter_ids)
    return Letter.objects.filter(pk__in=letter_ids).delete()[0]


def _render(template: str, to: str, language: str, context: dict[str, Any]) -> dict[str, str]:
    site = {
        "language": language,
        "site_url": settings.SITE_URL,
        "organisation": settings.ORGANISATION_NAME,
        "privacy_contact": settings.PRIVACY_CONTACT,
    }
    with translation.override(language):
        subject = render_to_string(f"mail/{template}.subject.txt", site | context)
        values = site | context | {"subject": " ".join(subject.split())}
        return {
            "to": to,
            "subject": values["subject"],
            "text": render_to_string(f"mail/{template}.txt", values).strip() + "\n",
            "html": render_to_string(f"mail/{template}.html", values).strip() + "\n",
        }


def _key_of(letter: Letter) -> bytes:
    return keys.site_key("letters") if letter.key_id is None else keys.open_key(letter.key_id)


def _place_of(letter: Letter) -> bytes:
    return aead.associated_data("mail.letter", str(letter.key_id or "site"), "sealed", letter.pk)


def _open(letter: Letter) -> dict[str, str]:
    try:
        return content.unseal_json(_key_of(letter), bytes(letter.sealed or b""), context=_place_of(letter))
    except (KeyDestroyed, DecryptionError) as error:
        raise UnreadableLetter(str(letter.pk)) from error


def _claim(letter: Letter) -> bool:
    """Take the lease; one of several senders wins."""
    mine = Letter.objects.filter(pk=letter.pk, state=Letter.State.PENDING, attempts=letter.attempts)
    return mine.update(attempts=F("attempts") + 1, next_try_at=timezone.now() + LEASE) == 1


def _end(letter: Letter, state: Letter.State) -> None:
    sent_at = timezone.now() if state == Letter.State.SENT else None
    Letter.objects.filter(pk=letter.pk).update(state=state, sealed=None, sent_at=sent_at)


def _postpone(letter: Letter) -> None:
    now = timezone.now()
    if now - letter.created_at > GIVE_UP_AFTER:
        _end(letter, Letter.State.FAILED)
        return
    pause = min(timedelta(seconds=30) * 2 ** min(letter.attempts, 12), LONGEST_PAUSE)
    Letter.objects.filter(pk=letter.pk).update(next_try_at=now + pause)


def _delete_files(letter_ids: Iterable[UUID]) -> None:
    for letter_id in letter_ids:
        delivery.delete_files_of(letter_id)


def _poke() -> None:
    """Wake a worker. Nothing is lost without: the schedule sends what is due."""
    try:
        current_app.send_task("apps.mail.tasks.send_due_letters", retry=False)
    except (KombuError, OSError):
        return
