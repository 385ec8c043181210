"""What people decide for themselves: consent to recording, opting out, and how long conversations stay."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records.models import Subject
from apps.records.subjects import lock_for_writing


def set_recording(subject: Subject, allowed: bool, *, actor: Actor) -> None:
    """Give or withdraw the consent to keeping new conversations; what is here stays (GDPR Article 7(3))."""
    _change(subject, actor, Event.CHOICES_CHANGED, {"is_recording_allowed": allowed}, recording=allowed)


def set_opt_outs(subject: Subject, *, training: bool, sharing: bool, actor: Actor) -> None:
    """Opt out of use for training and of sale or sharing (CCPA §1798.120), or back in."""
    fields = {"opted_out_of_training": training, "opted_out_of_sharing": sharing}
    _change(subject, actor, Event.CHOICES_CHANGED, fields, **fields)


def set_retention(subject: Subject, days: int | None, *, actor: Actor) -> None:
    """Choose after how many days conversations go; None: the organisation's rule."""
    _change(subject, actor, Event.RETENTION_CHANGED, {"retention_days": days}, days=days)


def _change(subject: Subject, actor: Actor, event: Event, fields: dict[str, Any], **details: Any) -> None:
    """Change the row with its entry; choosing what was chosen before leaves none."""
    with transaction.atomic():
        current = lock_for_writing(subject.pk)
        if any(getattr(current, name) != value for name, value in fields.items()):
            Subject.objects.filter(pk=subject.pk).update(**fields)
            audit.append(event, about=current.handle, actor=actor, **details)
    for name, value in fields.items():
        setattr(subject, name, value)
