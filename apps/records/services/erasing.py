"""Erasing everything of a person, after the keys: objects, then rows, and last the person's own row (DESIGN §5).

A legal hold keeps single conversations. Then each other key is destroyed by itself, and the subject key, which opens those
that are kept, gives way to a new one; when the hold is over, a repeat destroys the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import transaction

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.selectors import key_state, live_keys_owned_by, tombstones_among
from apps.records import objects, rows
from apps.records.models import Attachment, Conversation, Identity, Import, LegalHold, Rewrite, Subject
from apps.records.services.holds import free_conversations, held_conversations, held_until, standing_holds

BATCH = 500


class NotFrozen(Exception):
    """Something may still be written for this person: freeze first."""


@dataclass(frozen=True)
class Batch:
    """What one batch deleted."""

    kind: str  # "attachments", "conversations", "imports", "identities", "people"
    count: int
    messages: int = 0


@dataclass(frozen=True)
class Left:
    """What the second look sees: rows, objects and live keys that should be gone, and what a hold keeps."""

    rows: int
    objects: int
    keys: int
    held: int
    until: date | None


def subject_keys(subject: Subject) -> list[UUID]:
    """Return the keys that the destroy step destroys: the subject key, below which all others are.

    If a hold keeps something, they are the keys of everything else, one by one.
    """
    if not standing_holds(subject.pk).exists():
        return [subject.key_id]
    free = list(free_conversations(subject.pk).values_list("key_id", flat=True))
    uploads = Import.objects.filter(subject=subject).values_list("key_id", flat=True)
    return free + [key_id for key_id in uploads if key_id is not None]


def erase_subject_rows(subject_id: UUID) -> Iterator[Batch]:
    """Delete what is held of a person, in batches: objects, their rows, conversations, and last the person.

    Its keys must be tombstones; any that is not is destroyed first, by an intent of its own. Raises NotFrozen,
    Unavailable. Safe to stop anywhere and to repeat: a repeat goes on with what is left, and finds nothing at the end.
    """
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None:
        yield from _erase_unknown_objects(subject_id)
        keys.truncate_journal("default")
        return
    if subject.frozen_at is None:
        raise NotFrozen
    is_held = standing_holds(subject_id).exists()
    _destroy_keys_left(subject, is_held=is_held)
    Rewrite.objects.filter(subject=subject).delete()
    yield from _erase_attachments(subject_id, is_held=is_held)
    yield from _erase_conversations(subject_id)
    yield from _erase_imports(subject_id)
    if not is_held:
        yield from _erase_person(subject)
    keys.truncate_journal("default")


def replace_kept_key(subject_id: UUID) -> keys.Replacement | None:
    """Replace the key that a hold keeps: an old backup and it would open what the erasure took. A repeat does nothing."""
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None or not keys.needs_replacing(subject.key_id):
        return None
    return keys.replace_key(subject.key_id, actor=Actor.system(), even_if_frozen=True)


def look_for_rest(subject_id: UUID) -> Left:
    """Look again for everything of a person: rows, the storage itself, and keys."""
    theirs = {"subject_id": subject_id}
    held = held_conversations(subject_id)
    held_count = held.count()
    kept = Attachment.objects.filter(conversation__in=held).values_list("object_name", flat=True) if held_count else ()
    found = {name for folder in (objects.ATTACHMENTS, objects.IMPORTS) for name in objects.names_of(folder, subject_id)}
    left = [
        Conversation.objects.filter(**theirs).count() - held_count,
        Import.objects.filter(**theirs).count(),
        0 if held_count else Identity.objects.filter(**theirs).count() + Subject.objects.filter(pk=subject_id).count(),
    ]
    return Left(
        rows=sum(left),
        objects=len(found - set(kept)),
        keys=0 if held_count else len(live_keys_owned_by([subject_id])),
        held=held_count,
        until=held_until(subject_id) if held_count else None,
    )


def _destroy_keys_left(subject: Subject, *, is_held: bool) -> None:
    """Make sure that keys go before rows, also when a hold has ended since the destroy step."""
    if not key_state(subject.key_id).is_live:
        return
    wanted = subject_keys(subject)
    live = sorted(set(wanted) - set(tombstones_among(wanted)))
    if live:
        keys.erase_keys(live, about=subject.handle, actor=Actor.system())
    if is_held:
        replace_kept_key(subject.pk)


def _erase_attachments(subject_id: UUID, *, is_held: bool) -> Iterator[Batch]:
    if not is_held:
        objects.delete_all(objects.ATTACHMENTS, subject_id)
        objects.delete_all(objects.IMPORTS, subject_id)
    theirs = Attachment.objects.filter(conversation__in=free_conversations(subject_id))
    while names := dict(theirs.order_by("pk").values_list("pk", "object_name")[:BATCH]):
        if is_held:
            for name in names.values():
                objects.delete(name)
        yield Batch("attachments", Attachment.objects.filter(pk__in=list(names)).delete()[0])


def _erase_conversations(subject_id: UUID) -> Iterator[Batch]:
    free = free_conversations(subject_id).order_by("pk")
    while sizes := list(free.values_list("pk", "node_count")[:BATCH]):
        LegalHold.objects.filter(conversation__in=[pk for pk, _size in sizes]).delete()  # those that are over
        for conversations, messages in rows.delete_conversations(sizes):
            yield Batch("conversations", conversations, messages)


def _erase_imports(subject_id: UUID) -> Iterator[Batch]:
    theirs = Import.objects.filter(subject_id=subject_id)
    for name in theirs.values_list("object_name", flat=True):
        objects.delete(name)
    yield Batch("imports", theirs.delete()[0])


def _erase_person(subject: Subject) -> Iterator[Batch]:
    keys.purge_keys_below([subject.key_id])  # no row names them any more, and only this one knows where they were
    with transaction.atomic():
        LegalHold.objects.filter(subject=subject).delete()
        identities = Identity.objects.filter(subject=subject).delete()[0]
        people = Subject.objects.filter(pk=subject.pk).delete()[1].get("records.Subject", 0)
        if people:
            audit.append(Event.SUBJECT_ERASED, about=subject.handle, actor=Actor.system(), identities=identities)
    yield Batch("identities", identities)
    yield Batch("people", people)


def _erase_unknown_objects(subject_id: UUID) -> Iterator[Batch]:
    """Delete what an upload may have left that ended after the rows were gone."""
    count = 0
    for folder in (objects.ATTACHMENTS, objects.IMPORTS):
        count += len(objects.names_of(folder, subject_id))
        objects.delete_all(folder, subject_id)
    yield Batch("attachments", count)
