"""Storing a conversation's files: the row first, then the object, then `stored` (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.records import contexts, objects
from apps.records.drafts import Plan
from apps.records.errors import BeingErased
from apps.records.importers.errors import ImporterError
from apps.records.importers.types import ParsedAttachment
from apps.records.models import Attachment, Conversation, Subject
from apps.records.subjects import lock_for_writing
from apps.sealing import content

AT_ONCE = 50  # files that are written down, uploaded and marked together
LEFT_BEHIND_AFTER = timedelta(hours=24)  # longer than any upload runs


def store_attachments(
    subject: Subject, plan: Plan, *, skip: Callable[[str, str], None], actor: Actor, import_id: UUID | None = None
) -> int:
    """Store the files of a conversation that are not held yet; what cannot be read is named through `skip`."""
    held = _held_pointers(plan)
    new = {parsed.pointer or parsed.name: parsed for parsed in plan.draft.attachments}
    waiting = [parsed for pointer, parsed in new.items() if pointer not in held]
    stored = 0
    for first in range(0, len(waiting), AT_ONCE):
        stored += _store(subject, plan, waiting[first : first + AT_ONCE], skip, actor, import_id)
    return stored


def sweep_attachments() -> int:
    """Delete what uploads that never ended have left behind; return how many."""
    before = timezone.now() - LEFT_BEHIND_AFTER
    left = list(Attachment.objects.filter(stored=False, created_at__lt=before).order_by("pk")[:1_000])
    for row in left:
        _discard(row)
    return len(left)


def _store(
    subject: Subject,
    plan: Plan,
    files: Sequence[ParsedAttachment],
    skip: Callable[[str, str], None],
    actor: Actor,
    import_id: UUID | None,
) -> int:
    """Write some files down, upload them, and mark those that are there."""
    rows = [_row(subject, plan, parsed) for parsed in files]
    with transaction.atomic():
        lock_for_writing(subject.pk, recording=True)
        if not Conversation.objects.filter(pk=plan.conversation_id, erasing_at__isnull=True).exists():
            raise BeingErased
        Attachment.objects.bulk_create(rows)
    try:
        there = [row for row, parsed in zip(rows, files, strict=True) if _upload(row, plan, parsed, skip)]
        with transaction.atomic():
            lock_for_writing(subject.pk)
            Attachment.objects.bulk_update(there, ["stored", "size"])
            if there:
                Conversation.objects.filter(pk=plan.conversation_id).update(revision=F("revision") + 1)
                audit.append(
                    Event.CONVERSATIONS_IMPORTED,
                    about=subject.handle,
                    actor=actor,
                    import_id=import_id,
                    attachments=len(there),
                )
    finally:
        _forget_erased(rows)
    return len(there)


def _row(subject: Subject, plan: Plan, parsed: ParsedAttachment) -> Attachment:
    name = objects.new_name(objects.ATTACHMENTS, subject.pk)
    row = Attachment(id=uuid4(), conversation_id=plan.conversation_id, object_name=name)
    described = {"name": parsed.name, "media_type": parsed.media_type, "pointer": parsed.pointer}
    row.sealed = content.seal_json(plan.box, described, context=contexts.attachment(plan.key_id, row.pk))
    return row


def _upload(row: Attachment, plan: Plan, parsed: ParsedAttachment, skip: Callable[[str, str], None]) -> bool:
    counted = _Counted(parsed.open)
    context = contexts.attachment_file(plan.key_id, row.pk)
    try:
        objects.upload(row.object_name, counted, key_id=plan.key_id, key=plan.key, context=context)
    except ImporterError as error:
        skip(parsed.name or _("a file without a name"), str(error))
        _discard(row)
        return False
    row.stored, row.size = True, counted.size
    return True


def _forget_erased(rows: Sequence[Attachment]) -> None:
    """Delete the objects of rows that were erased while the bytes were on their way."""
    known = set(Attachment.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    for row in rows:
        if row.pk not in known:
            objects.try_delete(row.object_name)


def _discard(row: Attachment) -> None:
    objects.delete(row.object_name)
    Attachment.objects.filter(pk=row.pk).delete()


def _held_pointers(plan: Plan) -> set[str]:
    held = set()
    for row in Attachment.objects.filter(conversation_id=plan.conversation_id, stored=True).order_by("pk"):
        described = content.unseal_json(plan.box, row.sealed, context=contexts.attachment(plan.key_id, row.pk))
        held.add(described["pointer"] or described["name"])
    return held


class _Counted:
    """The chunks of a file, counted as they pass."""

    def __init__(self, open_file: Callable[[], Iterator[bytes]]) -> None:
        self._open = open_file
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._open():
            self.size += len(chunk)
            yield chunk
