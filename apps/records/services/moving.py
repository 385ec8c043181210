"""A subject key gives way to a new one: what is sealed under it itself is sealed anew (apps/keys/services/replacing.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from django.db import models, transaction

from apps.keys import services as keys
from apps.keys.errors import NotReplaceable
from apps.records import contexts
from apps.records.models import Identity, Import, Subject
from apps.sealing.aead import Box

BATCH = 500

Row = TypeVar("Row", bound=models.Model)
Context = Callable[[UUID, UUID], bytes]


def move_subject_key(owner: UUID, old: UUID, new: UUID, *, even_if_frozen: bool) -> str:
    """Seal identities and imports of a person under the new key, and name it on the person's row, in one transaction.

    Content lies under conversation keys and is not touched. Writers hold the same lock and then ask which key is named.
    Returns the person's handle; "" if there is no such person, or another key is theirs. Raises NotReplaceable.
    """
    opened = keys.open_keys([old, new])
    with transaction.atomic():
        subject = Subject.objects.select_for_update(no_key=True).filter(pk=owner, key_id__in=(old, new)).first()
        if subject is None:
            return ""
        if subject.key_id != new:
            if subject.frozen_at is not None and not even_if_frozen:
                raise NotReplaceable(f"an erasure of {subject} has begun")
            boxes = Box(opened[old]), Box(opened[new])
            for row in _rows(Identity.objects.filter(subject=subject)):
                row.sealed = _reseal(row.sealed, boxes, row.pk, old, new, contexts.identity)
                row.save(update_fields=["sealed"])
            for upload in _rows(Import.objects.filter(subject=subject)):
                upload.sealed = _reseal(upload.sealed, boxes, upload.pk, old, new, contexts.import_name)
                if upload.sealed_report is not None:
                    upload.sealed_report = _reseal(
                        upload.sealed_report, boxes, upload.pk, old, new, contexts.import_report
                    )
                upload.save(update_fields=["sealed", "sealed_report"])
            Subject.objects.filter(pk=subject.pk).update(key_id=new)
    return subject.handle


def _reseal(sealed: Any, boxes: tuple[Box, Box], row_id: UUID, old: UUID, new: UUID, context: Context) -> bytes:
    plain = boxes[0].unseal(bytes(sealed), context=context(old, row_id))
    return boxes[1].seal(plain, context=context(new, row_id))


def _rows(found: models.QuerySet[Row]) -> Iterator[Row]:
    batch = list(found.order_by("pk")[:BATCH])
    while batch:
        yield from batch
        batch = list(found.filter(pk__gt=batch[-1].pk).order_by("pk")[:BATCH])
