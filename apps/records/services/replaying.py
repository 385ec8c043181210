"""Erasures of single rows, carried out once more on a restored database: their keys are gone already (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from apps.audit.actors import Actor
from apps.records import objects, rows
from apps.records.errors import IdentityTaken
from apps.records.models import Conversation, Identity, Import, LegalHold, Subject
from apps.records.services.deleting import delete_attachments
from apps.records.subjects import add_identity

BATCH = 500


def drop_conversations(ids: Collection[UUID]) -> int:
    """Delete conversations whose keys are gone, with files and holds; return how many."""
    count = 0
    for some in _parts(ids):
        delete_attachments(some)
        LegalHold.objects.filter(conversation__in=some).delete()
        sizes = Conversation.objects.filter(pk__in=some).values_list("pk", "node_count")
        count += sum(one for one, _messages in rows.delete_conversations(list(sizes)))
    return count


def end_imports(ids: Collection[UUID]) -> int:
    """Delete uploads whose keys are gone. One that was not read to its end in the backup has to be uploaded again."""
    count = 0
    for some in _parts(ids):
        found = Import.objects.filter(pk__in=some)
        for name in found.values_list("object_name", flat=True):
            objects.delete(name)
        unread = found.filter(state__in=(Import.State.WAITING, Import.State.RUNNING))
        unread.update(state=Import.State.FAILED, reason="unreadable", finished_at=timezone.now())
        count += found.update(key_id=None, stored=False)
    return count


def lift_all_holds(subject_id: UUID) -> None:
    """Delete the holds of a person whose key is destroyed: that happened after they had ended."""
    LegalHold.objects.filter(subject_id=subject_id).delete()


def adopt_key(subject: Subject, key_id: UUID) -> int:
    """Name the key that lives for a person whose restored row names an older one; return how many identities were lost.

    What only the older key opened is gone: identities, and the names of uploads. Conversations have keys of their own.
    The addresses that the sign-in has proven come back as identities.
    """
    with transaction.atomic():
        lost = Identity.objects.filter(subject=subject).delete()[0]
        Import.objects.filter(subject=subject, key_id=None).delete()
        end_imports(Import.objects.filter(subject=subject).values_list("pk", flat=True))
        Import.objects.filter(subject=subject).delete()
        Subject.objects.filter(pk=subject.pk).update(key_id=key_id)
    subject.key_id = key_id
    return max(0, lost - sum(_add_back(subject)))


def _add_back(subject: Subject) -> Iterator[int]:
    if subject.account_id is None or subject.frozen_at is not None:
        return
    proven = EmailAddress.objects.filter(user_id=subject.account_id, verified=True)
    for email in proven.values_list("email", flat=True):
        try:
            add_identity(subject, "email", email, actor=Actor.system())
            yield 1
        except IdentityTaken:  # another person came by it
            continue


def _parts(ids: Collection[UUID]) -> Iterator[list[UUID]]:
    rest = list(ids)
    for first in range(0, len(rest), BATCH):
        yield rest[first : first + BATCH]
