"""Storing a conversation's files: the row first, then the object, then `stored` (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.records import contexts, objects
from apps.records.drafts import Plan
from apps.records.errors import BeingErased
from apps.records.importers.errors import ImporterError
from apps.records.importers.types import ParsedAttachment
from apps.records.models import Attachment, Conversation
from apps.records.subjects import lock_for_writing
from apps.sealing import content

LEFT_BEHIND_AFTER = timedelta(hours=24)  # longer than any upload runs


def store_attachments(subject_id: UUID, plan: Plan, *, skip: Callable[[str, str], None]) -> int:
    """Store the files of a conversation that are not held yet; what cannot be read is named through `skip`."""
    held = _held_pointers(plan)
    stored = 0
    for parsed in plan.draft.attachments:
        pointer = parsed.pointer or parsed.name
        if pointer in held:
            continue
        try:
            _store(subject_id, plan, parsed)
        except ImporterError as error:
            skip(parsed.name or _("a file without a name"), str(error))
            continue
        held.add(pointer)
        stored += 1
    return stored


def sweep_attachments() -> int:
    """Delete what uploads that never ended have left behind; return how many."""
    before = timezone.now() - LEFT_BEHIND_AFTER
    left = list(Attachment.objects.filter(stored=False, created_at__lt=before).order_by("pk")[:1_000])
    for row in left:
        _discard(row)
    return len(left)


def _store(subject_id: UUID, plan: Plan, parsed: ParsedAttachment) -> None:
    row = Attachment(
        id=uuid4(), conversation_id=plan.conversation_id, object_name=objects.new_name(objects.ATTACHMENTS, subject_id)
    )
    described = {"name": parsed.name, "media_type": parsed.media_type, "pointer": parsed.pointer}
    row.sealed = content.seal_json(plan.box, described, context=contexts.attachment(plan.key_id, row.pk))
    with transaction.atomic():
        lock_for_writing(subject_id, recording=True)
        if not Conversation.objects.filter(pk=plan.conversation_id, erasing_at__isnull=True).exists():
            raise BeingErased
        row.save(force_insert=True)
    counted = _Counted(parsed.open)
    context = contexts.attachment_file(plan.key_id, row.pk)
    try:
        objects.upload(row.object_name, counted, key_id=plan.key_id, key=plan.key, context=context)
    except ImporterError:
        _discard(row)
        raise
    try:
        with transaction.atomic():
            lock_for_writing(subject_id)
            Attachment.objects.filter(pk=row.pk).update(stored=True, size=counted.size)
    finally:
        if not Attachment.objects.filter(pk=row.pk).exists():  # erased while its bytes were on their way
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
