"""Legal holds: what must be kept although the person asks for its erasure, why, and until when (GDPR Article 17(3))."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records.errors import ConversationNotFound, OwnData
from apps.records.models import Conversation, LegalHold, Subject
from apps.records.subjects import is_of_staff, lock_for_writing


def standing_holds(subject_id: UUID) -> QuerySet[LegalHold]:
    """Return the holds that are not over."""
    return LegalHold.objects.filter(subject_id=subject_id, until__gte=timezone.now().date())


def held_conversations(subject_id: UUID) -> QuerySet[Conversation]:
    """Return the conversations that may not be erased today."""
    holds, theirs = standing_holds(subject_id), Conversation.objects.filter(subject_id=subject_id)
    if holds.filter(conversation__isnull=True).exists():
        return theirs
    return theirs.filter(pk__in=holds.values("conversation_id"))


def free_conversations(subject_id: UUID) -> QuerySet[Conversation]:
    """Return the conversations that no hold keeps."""
    holds, theirs = standing_holds(subject_id), Conversation.objects.filter(subject_id=subject_id)
    if holds.filter(conversation__isnull=True).exists():
        return theirs.none()
    return theirs.exclude(pk__in=holds.values("conversation_id"))


def held_until(subject_id: UUID) -> date | None:
    """Return the day on which the last of a person's holds ends."""
    return standing_holds(subject_id).order_by("-until").values_list("until", flat=True).first()


def place_hold(
    subject: Subject, *, basis: str, until: date, actor: Actor, conversation_id: UUID | None = None
) -> LegalHold:
    """Keep one conversation, or everything of a person. Raises SubjectFrozen once an erasure has begun, OwnData."""
    _refuse_own(subject.pk, actor)
    with transaction.atomic():
        lock_for_writing(subject.pk)
        theirs = Conversation.objects.filter(subject=subject, erasing_at__isnull=True)
        if conversation_id is not None and not theirs.filter(pk=conversation_id).exists():
            raise ConversationNotFound
        hold = LegalHold.objects.create(subject=subject, conversation_id=conversation_id, basis=basis, until=until)
        count = 1 if conversation_id is not None else theirs.count()
        audit.append(Event.HOLD_PLACED, about=subject.handle, actor=actor, conversations=count, until=until)
    return hold


def lift_hold(hold: LegalHold, *, actor: Actor) -> None:
    """End a hold; a repeat does nothing. Raises OwnData."""
    _refuse_own(hold.subject_id, actor)
    with transaction.atomic():
        if LegalHold.objects.filter(pk=hold.pk).delete()[0]:
            count = 1 if hold.conversation_id is not None else hold.subject.conversations.count()
            audit.append(Event.HOLD_LIFTED, about=hold.subject.handle, actor=actor, conversations=count)


def _refuse_own(subject_id: UUID, actor: Actor) -> None:
    if is_of_staff(subject_id, actor):
        raise OwnData
