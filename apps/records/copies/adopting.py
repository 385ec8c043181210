"""A lost conversation that was imported anew before its copy was read: it has another id and key than that copy knows.

What the copy held is with the new one then. The copy is written down as one of it, so that erasing it takes along the copy
and the key that opens it, and the next copy takes its place. Else nothing would name that key before the sweep.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.locations.stores import Store
from apps.records.copies.naming import Name
from apps.records.copies.writing import new_mac
from apps.records.indexing.ring import CONVERSATION, COPY, open_ring
from apps.records.models import Conversation, Copy, Subject
from apps.records.services.storing import external_indexes
from apps.records.subjects import lock_for_writing

NO_REVISION = 0  # it is not a copy of any state of the new one


def adopt(store: Store, name: Name, key_id: UUID, subject: Subject, external_id: str) -> None:
    """Write a copy down as one of the conversation that has its content, unless that came back with the copy's own key.

    Call it once everything of the copy is held. Raises LocationError, or SubjectFrozen: then its key goes with the person's.
    """
    indexes = external_indexes(open_ring(CONVERSATION), subject.pk, external_id)
    held = Conversation.objects.filter(subject=subject, external_index__in=indexes).exclude(key_id=key_id).first()
    if held is None:
        return
    ring = open_ring(COPY)
    mac, size = new_mac(ring.key), 0
    for chunk in store.get(str(name)):
        mac.update(chunk)
        size += len(chunk)
    with transaction.atomic():
        lock_for_writing(subject.pk)
        if not Conversation.objects.filter(pk=held.pk, erasing_at=None).exists() or not ring.is_held():
            return
        known = Copy.objects.filter(pk=name.copy_id)
        if not known.update(conversation_id=held.pk):
            Copy.objects.create(
                id=name.copy_id, policy_id=name.policy_id, subject_id=subject.pk, conversation_id=held.pk, key_id=key_id,
                revision=NO_REVISION, object_name=str(name), size=size, mac=mac.digest(), mac_number=ring.number, stored=True,
            )  # fmt: skip
