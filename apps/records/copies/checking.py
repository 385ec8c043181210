"""Reading a copy again: is it there, are its bytes those that were written, does it open, is it what it was made of?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from django.db import transaction
from django.utils import timezone

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.locations.stores import Missing, Store
from apps.records import contexts, objects
from apps.records.copies.frames import plain_copy
from apps.records.copies.naming import parse_name
from apps.records.copies.writing import new_mac
from apps.records.indexing.ring import COPY, Ring, open_ring
from apps.records.models import Conversation, Copy, CopyPolicy
from apps.sealing.errors import DecryptionError
from apps.sealing.streams import unseal_stream

OK, MISSING, CHANGED, SKIPPED = "ok", "missing", "changed", "skipped"


def check_copy(policy: CopyPolicy, store: Store, copy: Copy) -> str:
    """Return what was found. One that is missing or changed is doomed, so that the next run writes it anew.

    Skipped: it was replaced or erased this very moment. Raises LocationError when the place does not answer. One whose
    hash is under an earlier key and that is as it was gets its hash under the current one.
    """
    now = Copy.objects.filter(pk=copy.pk).only("mac", "mac_number").first()
    if now is None:
        return SKIPPED
    copy.mac, copy.mac_number = now.mac, now.mac_number  # a rotation may have renewed them since it was listed
    look = _Look(policy, store, copy, open_ring(COPY))
    try:
        result = look.judge()
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
    if result == OK:
        look.renew_mac()
    return result


class _Look:
    """One copy, read to its end, with its hash under the key that made it and under the current one."""

    def __init__(self, policy: CopyPolicy, store: Store, copy: Copy, ring: Ring) -> None:
        self.policy, self.store, self.copy, self.ring = policy, store, copy, ring
        self.macs = {number: new_mac(ring.keys[number]) for number in {copy.mac_number, ring.number} & ring.keys.keys()}

    def judge(self) -> str:
        policy, copy = self.policy, self.copy
        if policy.is_readable:
            for _chunk in self._stored():
                pass
            return OK if self._is_as_written() else CHANGED
        key = keys.open_key(copy.key_id)
        name = parse_name(copy.object_name)  # as it was sealed: an adopted one is of another conversation by now
        context = contexts.copy(copy.key_id, name.conversation_id if name else copy.conversation_id, copy.pk)
        opened = _digest(unseal_stream(key, objects.watched(self._stored(), copy.key_id), context=context))
        if not self._is_as_written() and copy.mac_number in self.macs:
            return CHANGED  # else the key of its hash went with a restore, and that it opens is what there is to go by
        row = Conversation.objects.filter(pk=copy.conversation_id, key_id=copy.key_id, revision=copy.revision).first()
        if row is None or row.erasing_at is not None:
            return OK  # as it was written; there is nothing any more, or something newer, to compare it with
        ours = _digest(plain_copy(row, key))
        if not Conversation.objects.filter(pk=row.pk, revision=copy.revision).exists():
            return SKIPPED
        return OK if hmac.compare_digest(opened, ours) else CHANGED

    def renew_mac(self) -> None:
        if self.copy.mac_number != self.ring.number:
            with transaction.atomic():
                if self.ring.is_held():
                    new = {"mac": self.macs[self.ring.number].digest(), "mac_number": self.ring.number}
                    Copy.objects.filter(pk=self.copy.pk, mac_number=self.copy.mac_number).update(**new)

    def _stored(self) -> Iterator[bytes]:
        """Yield what lies there; of one that is longer than it was written the rest, which may have no end, is not read."""
        got = 0
        for chunk in self.store.get(self.copy.object_name):
            got += len(chunk)
            for mac in self.macs.values():
                mac.update(chunk)
            yield chunk
            if got > self.copy.size:
                return

    def _is_as_written(self) -> bool:
        mac = self.macs.get(self.copy.mac_number)
        return mac is not None and hmac.compare_digest(mac.digest(), bytes(self.copy.mac))


def _digest(chunks: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
