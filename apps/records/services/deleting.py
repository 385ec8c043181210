"""Erasing single conversations: marked, then the keys by an intent of their own, then objects, then rows (DESIGN §2).

What is marked is seen no more. A run that was killed is finished by the next one: `finish_deletions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.selectors import live_among
from apps.records import objects, rows
from apps.records.errors import ConversationNotFound, ConversationsHeld
from apps.records.models import Attachment, Conversation, Copy, Forgotten, LegalHold, Rewrite, Subject
from apps.records.services.holds import free_conversations, held_conversations, held_until
from apps.records.subjects import lock_for_writing

BY_SCHEDULE = "sync"  # Conversation.source of what a source brought in
BATCH = 500  # keys that one intent may name, and ids in one IN (…)


@dataclass(frozen=True)
class Deleted:
    """What went, or is marked to go."""

    conversations: int = 0
    messages: int = 0
    attachments: int = 0

    def __add__(self, other: Deleted) -> Deleted:
        return Deleted(
            self.conversations + other.conversations,
            self.messages + other.messages,
            self.attachments + other.attachments,
        )


def delete_conversations(subject: Subject, ids: Collection[UUID], *, actor: Actor) -> Deleted:
    """Erase some of a person's conversations; when it returns nobody can read them any more.

    Raises ConversationNotFound if one of them is not theirs, and ConversationsHeld if a legal hold keeps one; then
    nothing was erased. Call it outside transactions.
    """
    marked = mark_conversations(subject, ids, actor=actor)
    finish_deletions(subject.pk, actor=actor)
    return marked


def delete_all_conversations(subject: Subject, *, actor: Actor) -> Deleted:
    """Erase every conversation of a person but those that a legal hold keeps."""
    marked = mark_all_conversations(subject, actor=actor)
    finish_deletions(subject.pk, actor=actor)
    return marked


def mark_conversations(subject: Subject, ids: Collection[UUID], *, actor: Actor) -> Deleted:
    """Mark conversations to be erased, in one transaction with its entry; `finish_deletions` does the rest."""
    wanted = list(dict.fromkeys(ids))
    with transaction.atomic():
        lock_for_writing(subject.pk)
        marked = Deleted()
        for some in _chunks(wanted):
            theirs = Conversation.objects.filter(subject=subject, pk__in=some, erasing_at__isnull=True)
            if theirs.count() != len(some):
                raise ConversationNotFound
            until = held_until(subject.pk)
            if until is not None and held_conversations(subject.pk).filter(pk__in=some).exists():
                raise ConversationsHeld(until)
            marked += _mark(theirs)
        _append_entry(subject, marked, actor)
    return marked


def mark_all_conversations(subject: Subject, *, actor: Actor) -> Deleted:
    """Mark every conversation that no hold keeps."""
    with transaction.atomic():
        lock_for_writing(subject.pk)
        marked = _mark(free_conversations(subject.pk).filter(erasing_at__isnull=True))
        _append_entry(subject, marked, actor)
    return marked


def finish_deletions(subject_id: UUID | None = None, *, actor: Actor | None = None) -> int:
    """Erase what is marked, of one person or of all; return how many conversations went. Safe to repeat.

    Raises audit's NotSigned if the log cannot be signed: then nothing of that batch was destroyed.
    """
    marked = Conversation.objects.filter(erasing_at__isnull=False, subject__frozen_at__isnull=True)
    _drop_rewrites_of(marked)
    copies = Rewrite.objects.filter(intent__isnull=True).values("new")
    marked = marked.exclude(pk__in=Rewrite.objects.values("old")).exclude(pk__in=copies)
    if subject_id is not None:
        marked = marked.filter(subject_id=subject_id)
    count = 0
    while batch := list(marked.select_related("subject").order_by("subject_id", "pk")[:BATCH]):
        first = batch[0].subject
        same = [row for row in batch if row.subject_id == first.pk]
        theirs = [row.key_id for row in same]
        keys.erase_keys([*theirs, *_keys_of_copies(same, theirs)], about=first.handle, actor=actor or Actor.system())
        _keep_forgotten(first.pk, same)
        count += purge_conversations(same)
    return count


def _keys_of_copies(found: Collection[Conversation], theirs: Collection[UUID]) -> list[UUID]:
    """Return the living keys of copies that came from a conversation which these took the place of (copies/adopting.py)."""
    copies = Copy.objects.filter(conversation_id__in=[row.pk for row in found]).exclude(key_id__in=theirs)
    return live_among(set(copies.values_list("key_id", flat=True)))


def _keep_forgotten(subject_id: UUID, found: Collection[Conversation]) -> None:
    """Note by blind index what came by a source: the schedule would bring it in again."""
    came = Conversation.objects.filter(pk__in=[row.pk for row in found if row.source == BY_SCHEDULE]).order_by("pk")
    with transaction.atomic():  # read again and locked: a rotation may have brought them under another key since
        rows_now = came.select_for_update(no_key=True).values_list("external_index", "index_number")
        notes = [
            Forgotten(subject_id=subject_id, external_index=index, index_number=number) for index, number in rows_now
        ]
        Forgotten.objects.bulk_create(notes, ignore_conflicts=True)


def purge_conversations(found: Collection[Conversation]) -> int:
    """Delete conversations whose keys are tombstones: files, holds that are over, rows; doom copies. Return how many went."""
    ids = [row.pk for row in found]
    Copy.objects.filter(conversation_id__in=ids).update(doomed_at=timezone.now())
    delete_attachments(ids)
    LegalHold.objects.filter(conversation__in=ids).delete()
    return sum(one for one, _messages in rows.delete_conversations((row.pk, row.node_count) for row in found))


def run_retention(*, actor: Actor | None = None) -> int:
    """Erase what is older than the organisation's rule or the person's own; return how many conversations.

    Counted from the last message or from when the conversation came in, whichever is later. What is restricted, held or
    frozen stays (DESIGN §5, precedence).
    """
    count = 0
    rules = Subject.objects.order_by().values_list("retention_days", flat=True).distinct()
    for own in list(rules):
        days = retention_days(own)
        if days:
            count += _retire(own, days, actor or Actor.system())
    finish_deletions(actor=actor)
    return count


def retention_days(own: int | None) -> int:
    """Return after how many days a conversation goes: the person's choice or the organisation's rule, the shorter; 0: never."""
    return min([days for days in (own, settings.RETENTION_DAYS) if days], default=0)


def delete_attachments(conversation_ids: Collection[UUID]) -> int:
    """Delete the files of conversations: objects first, then rows."""
    count = 0
    for some in _chunks(list(conversation_ids)):
        found = Attachment.objects.filter(conversation__in=some)
        for name in found.values_list("object_name", flat=True):
            objects.delete(name)
        count += found.delete()[0]
    return count


def _drop_rewrites_of(marked: QuerySet[Conversation]) -> None:
    """A conversation that is erased needs not be written anew: the copy, marked as well, goes with it."""
    Rewrite.objects.filter(intent__isnull=True, old__in=marked.values("pk")).delete()


def _retire(own: int | None, days: int, actor: Actor) -> int:
    before = timezone.now() - timedelta(days=days)
    old = Conversation.objects.filter(updated_at__lt=before, imported_at__lt=before, erasing_at__isnull=True)
    subjects = Subject.objects.filter(retention_days=own, restricted_at__isnull=True, frozen_at__isnull=True)
    count = 0
    for subject in list(subjects.filter(pk__in=old.values("subject_id"))):
        with transaction.atomic():
            if subjects.select_for_update(no_key=True).filter(pk=subject.pk).first() is None:
                continue  # frozen or restricted this very moment
            marked = _mark(free_conversations(subject.pk) & old)
            _append_entry(subject, marked, actor)
        count += marked.conversations
    return count


def _mark(conversations: QuerySet[Conversation]) -> Deleted:
    messages = conversations.aggregate(total=Sum("message_count"))["total"] or 0
    attachments = Attachment.objects.filter(conversation__in=conversations).count()
    return Deleted(conversations.update(erasing_at=timezone.now()), messages, attachments)


def _append_entry(subject: Subject, marked: Deleted, actor: Actor) -> None:
    if marked.conversations:
        audit.append(
            Event.CONVERSATIONS_DELETED,
            about=subject.handle,
            actor=actor,
            conversations=marked.conversations,
            messages=marked.messages,
            attachments=marked.attachments,
        )


def _chunks(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
