"""Writing one copy: the row first, then the upload, then the row says that it is there and dooms the one before.

What changes or is erased while the bytes are on their way is seen in the last transaction, under the same lock that every
writer of content takes: then the new copy is deleted again.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator
from uuid import uuid4

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, MasterKeyUnreachable
from apps.locations.errors import LocationError
from apps.locations.stores import Store, store_for
from apps.records import contexts, objects
from apps.records.copies.frames import plain_copy
from apps.records.copies.naming import Name
from apps.records.copies.readable import readable_copy
from apps.records.copies.removing import delete_objects
from apps.records.errors import LostClaim, SubjectFrozen
from apps.records.indexing.ring import COPY, Ring, open_ring
from apps.records.models import Conversation, Copy, CopyPolicy
from apps.records.subjects import lock_for_writing
from apps.sealing.streams import seal_stream

ASK_SECONDS = 30.0  # while a copy is on its way: far below a lease


def store_of_policy(policy: CopyPolicy) -> Store:
    return store_for(policy.destination, policy.target, is_text=policy.is_readable)


def uncopied(policy: CopyPolicy) -> QuerySet[Conversation]:
    """Return the conversations of which no copy, or only one of an earlier state, is there, by id.

    Nothing of anybody who is being erased or whose data is restricted (GDPR Article 18).
    """
    current = Copy.objects.filter(
        policy=policy,
        conversation_id=OuterRef("pk"),
        revision=OuterRef("revision"),
        key_id=OuterRef("key_id"),
        stored=True,
        doomed_at=None,
    )
    living = Conversation.objects.filter(erasing_at=None, subject__frozen_at=None, subject__restricted_at=None)
    return living.exclude(Exists(current)).order_by("pk")


def write_copy(
    policy: CopyPolicy, store: Store, row: Conversation, *, still_ours: Callable[[], None] = lambda: None
) -> Copy | None:
    """Copy one conversation as it is now; None if it was erased, changed or restricted meanwhile. Raises LocationError.

    `still_ours` is asked now and then while the bytes go out, and may raise LostClaim.
    """
    try:
        copy = _write_down(policy, row)
        if copy is None:
            return None
        try:
            ring = open_ring(COPY)
            written = _Counted(_chunks(policy, row, copy), ring, still_ours)
            store.put(copy.object_name, written)
        except (LocationError, KeyDestroyed, MasterKeyUnreachable, LostClaim):
            Copy.objects.filter(pk=copy.pk).update(doomed_at=timezone.now())
            raise
        copy.size, copy.mac, copy.mac_number = written.size, written.mac, ring.number
        if _is_kept(copy, row, ring):
            return copy
        _take_back(store, copy)
    except (SubjectFrozen, KeyDestroyed):
        pass
    return None


def _write_down(policy: CopyPolicy, row: Conversation) -> Copy | None:
    copy = Copy(
        policy=policy, subject_id=row.subject_id, conversation_id=row.pk, key_id=row.key_id, revision=row.revision
    )
    copy.id = uuid4()
    copy.object_name = str(Name(policy.pk, row.subject_id, row.pk, copy.pk, policy.form))
    with transaction.atomic():
        if lock_for_writing(row.subject_id).restricted_at is not None:
            return None
        rule = CopyPolicy.objects.select_for_update().filter(pk=policy.pk, is_active=True).first()
        if rule is None or not _as_it_was(row).exists():  # ended: what is written down after that would stay for ever
            return None
        copy.mac = b""
        copy.save(force_insert=True)
    return copy


def _chunks(policy: CopyPolicy, row: Conversation, copy: Copy) -> Iterator[bytes]:
    if policy.is_readable:
        return objects.watched(readable_copy(row, policy.form), row.key_id)
    key = keys.open_key(row.key_id)
    context = contexts.copy(row.key_id, row.pk, copy.pk)
    return seal_stream(key, objects.watched(plain_copy(row, key), row.key_id), context=context)


def _is_kept(copy: Copy, row: Conversation, ring: Ring) -> bool:
    """Say that the copy is there, and doom those before it, unless what it is of, or the key of its hash, is not as it was."""
    try:
        with transaction.atomic():
            if lock_for_writing(row.subject_id).restricted_at is not None:
                return False
            if not _as_it_was(row).exists() or not ring.is_held():
                return False
            changes = {"stored": True, "size": copy.size, "mac": copy.mac, "mac_number": copy.mac_number}
            if not Copy.objects.filter(pk=copy.pk, doomed_at=None).update(**changes):
                return False
            before = Copy.objects.filter(policy=copy.policy, conversation_id=row.pk, doomed_at=None)
            before.exclude(pk=copy.pk).update(doomed_at=timezone.now())
    except SubjectFrozen:
        return False
    return True


def _take_back(store: Store, copy: Copy) -> None:
    """Delete what should not have been written. If that fails, its row is doomed, or the second look finds it."""
    Copy.objects.filter(pk=copy.pk).update(doomed_at=timezone.now())
    delete_objects(copy.policy, store, [copy.object_name])


def _as_it_was(row: Conversation) -> QuerySet[Conversation]:
    return Conversation.objects.filter(pk=row.pk, key_id=row.key_id, revision=row.revision, erasing_at=None)


class _Counted:
    """Bytes on their way out: how many, and their HMAC."""

    def __init__(self, chunks: Iterable[bytes], ring: Ring, still_ours: Callable[[], None]) -> None:
        self._chunks, self._still_ours = chunks, still_ours
        self._mac = new_mac(ring.key)
        self.size = 0

    @property
    def mac(self) -> bytes:
        return self._mac.digest()

    def __iter__(self) -> Iterator[bytes]:
        asked = time.monotonic()
        for chunk in self._chunks:
            if time.monotonic() - asked > ASK_SECONDS:
                self._still_ours()
                asked = time.monotonic()
            self._mac.update(chunk)
            self.size += len(chunk)
            yield chunk


def new_mac(key: bytes) -> hmac.HMAC:
    """Return a keyed hash: the bare one of a readable copy would let anyone test a guess of what was said."""
    return hmac.new(key, digestmod=hashlib.sha256)
