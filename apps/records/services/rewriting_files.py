"""Copying a file of a conversation to the same conversation under another key: opened and sealed as it flows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.keys import services as keys
from apps.records import contexts, objects
from apps.records.models import Attachment, Conversation
from apps.sealing import content

UPLOADING = timedelta(hours=1)  # a file that is written down, not stored and younger than this may still come

log = logging.getLogger(__name__)


def name_of_copy(new_conversation: UUID, attachment_id: UUID) -> UUID:
    """Return the id of a file's copy: always the same, so that a repeat finds what is there."""
    return uuid5(new_conversation, attachment_id.hex)


def is_on_its_way(attachments: QuerySet[Attachment]) -> bool:
    """Say whether one of these is being uploaded right now."""
    return attachments.filter(stored=False, created_at__gt=timezone.now() - UPLOADING).exists()


def copy_file(row: Attachment, old: Conversation, new: Conversation, *, check: Callable[[], None]) -> None:
    """Copy one file; one that is there already is left alone. `check` stops it, inside each transaction."""
    copy_id = name_of_copy(new.pk, row.pk)
    before = Attachment.objects.filter(pk=copy_id).first()
    if before is not None and before.stored:
        return
    if before is not None:
        objects.delete(before.object_name)
    opened = keys.open_keys([old.key_id, new.key_id])
    described = content.unseal_json(opened[old.key_id], row.sealed, context=contexts.attachment(old.key_id, row.pk))
    sealed = content.seal_json(opened[new.key_id], described, context=contexts.attachment(new.key_id, copy_id))
    name = objects.new_name(objects.ATTACHMENTS, new.subject_id)
    with transaction.atomic():
        check()
        Attachment.objects.filter(pk=copy_id).delete()
        Attachment(id=copy_id, conversation=new, object_name=name, sealed=sealed).save(force_insert=True)
    is_kept = False
    try:
        _pass_on(row, copy_id, name, old, new, opened)
        with transaction.atomic():
            check()
            stored = {"stored": True, "size": row.size, "created_at": row.created_at}
            is_kept = bool(Attachment.objects.filter(pk=copy_id, object_name=name).update(**stored))
    finally:
        if not is_kept and not Attachment.objects.filter(pk=copy_id, object_name=name).exists():
            objects.try_delete(name)  # erased while its bytes were on their way


def _pass_on(
    row: Attachment, copy_id: UUID, name: str, old: Conversation, new: Conversation, opened: dict[UUID, bytes]
) -> None:
    chunks = objects.download(
        row.object_name,
        key_id=old.key_id,
        key=opened[old.key_id],
        context=contexts.attachment_file(old.key_id, row.pk),
    )
    context = contexts.attachment_file(new.key_id, copy_id)
    try:
        objects.upload(name, chunks, key_id=new.key_id, key=opened[new.key_id], context=context)
    except objects.MissingObject:
        log.exception("%s is written down and not in the storage", row)  # lost before; its row says so, as it did
