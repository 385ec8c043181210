"""Reading a copy again: is it there, are its bytes those that were written, does it open, is it what it was made of?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from django.utils import timezone

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.locations.stores import Missing, Store
from apps.records import contexts, objects
from apps.records.copies.frames import plain_copy
from apps.records.copies.writing import new_mac
from apps.records.models import Conversation, Copy, CopyPolicy
from apps.sealing.errors import DecryptionError
from apps.sealing.streams import unseal_stream

OK, MISSING, CHANGED, SKIPPED = "ok", "missing", "changed", "skipped"


def check_copy(policy: CopyPolicy, store: Store, copy: Copy) -> str:
    """Return what was found. One that is missing or changed is doomed, so that the next run writes it anew.

    Skipped: it was replaced or erased this very moment. Raises LocationError when the place does not answer.
    """
    try:
        result = _judge(policy, store, copy)
    except Missing:
        result = MISSING
    except DecryptionError:
        result = CHANGED
    except KeyDestroyed:
        result = SKIPPED
    here = Copy.objects.filter(pk=copy.pk, doomed_at=None)
    if not here.exists():
        return SKIPPED
    here.update(checked_at=timezone.now(), **({"doomed_at": timezone.now()} if result in (MISSING, CHANGED) else {}))
    return result


def _judge(policy: CopyPolicy, store: Store, copy: Copy) -> str:
    mac = new_mac()

    def stored() -> Iterator[bytes]:
        for chunk in store.get(copy.object_name):
            mac.update(chunk)
            yield chunk

    if policy.is_readable:
        for _chunk in stored():
            pass
        return OK if hmac.compare_digest(mac.digest(), bytes(copy.mac)) else CHANGED
    key = keys.open_key(copy.key_id)
    context = contexts.copy(copy.key_id, copy.conversation_id, copy.pk)
    opened = _digest(unseal_stream(key, objects.watched(stored(), copy.key_id), context=context))
    if not hmac.compare_digest(mac.digest(), bytes(copy.mac)):
        return CHANGED
    row = Conversation.objects.filter(pk=copy.conversation_id, key_id=copy.key_id, revision=copy.revision).first()
    if row is None or row.erasing_at is not None:
        return OK  # as it was written; there is nothing any more, or something newer, to compare it with
    ours = _digest(plain_copy(row, key))
    if not Conversation.objects.filter(pk=row.pk, revision=copy.revision).exists():
        return SKIPPED
    return OK if hmac.compare_digest(opened, ours) else CHANGED


def _digest(chunks: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
