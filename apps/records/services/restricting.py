"""Restriction of processing: everything stays as it is, and is only stored and shown to the person (GDPR Article 18(2)).

What heeds the mark: sources, copies, retention, corrections, and erasures, which wait.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records.models import Conversation, Subject
from apps.records.subjects import lock_for_writing


def restrict_subject(subject_id: UUID, *, actor: Actor) -> int:
    """Mark a person; return how many conversations that covers. A repeat returns 0. Raises SubjectFrozen."""
    return _set(subject_id, True, Event.USE_RESTRICTED, actor)


def release_subject(subject_id: UUID, *, actor: Actor) -> int:
    """Take the mark away; the person was told before. A repeat returns 0. Raises SubjectFrozen."""
    return _set(subject_id, False, Event.USE_RELEASED, actor)


def _set(subject_id: UUID, on: bool, event: Event, actor: Actor) -> int:
    with transaction.atomic():
        if not Subject.objects.filter(pk=subject_id).exists():  # nobody we know
            return 0
        subject = lock_for_writing(subject_id)
        if (subject.restricted_at is not None) == on:
            return 0
        Subject.objects.filter(pk=subject_id).update(restricted_at=timezone.now() if on else None)
        covered = Conversation.objects.filter(subject_id=subject_id, erasing_at__isnull=True).count()
        audit.append(event, about=subject.handle, actor=actor, conversations=covered)
    return covered
