"""Deleting copies: what is doomed, and what is of conversations that were erased. The object first, then its row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.keys.selectors import destroyed_among
from apps.locations.stores import Store
from apps.records.copies.naming import of_person
from apps.records.models import Conversation, Copy, CopyPolicy

BATCH = 500


def remove_doomed(policy: CopyPolicy, store: Store) -> int:
    """Delete what is to go; return how many. Raises LocationError, then the rest waits."""
    count = 0
    doomed = Copy.objects.filter(policy=policy, doomed_at__isnull=False).order_by("pk")
    while batch := dict(doomed.values_list("pk", "object_name")[:BATCH]):
        store.delete(list(batch.values()))
        count += Copy.objects.filter(pk__in=list(batch)).delete()[0]
    return count


def doom_erased(policy: CopyPolicy) -> int:
    """Doom the copies whose key was destroyed; return how many.

    A copy of a conversation that is not here any more while its key lives is kept: its row was lost, not erased, and the
    copy is what it comes back from. Neither key nor tombstone: nothing says that it was erased.
    """
    living = Conversation.objects.filter(pk=OuterRef("conversation_id"), key_id=OuterRef("key_id"), erasing_at=None)
    lost = Copy.objects.filter(policy=policy, doomed_at=None).exclude(Exists(living)).order_by("pk")
    count, last = 0, None
    while page := list((lost.filter(pk__gt=last) if last else lost).values_list("pk", "key_id")[:BATCH]):
        last = page[-1][0]
        erased = destroyed_among({key_id for _pk, key_id in page})
        gone = [pk for pk, key_id in page if key_id in erased]
        count += Copy.objects.filter(pk__in=gone).update(doomed_at=timezone.now())
    return count


def doom_unfinished(policy: CopyPolicy, *, before: datetime) -> int:
    """Doom what a worker that was killed has written down, and perhaps uploaded; nobody works on it any more."""
    unfinished = Copy.objects.filter(policy=policy, stored=False, doomed_at=None, created_at__lt=before)
    return unfinished.update(doomed_at=timezone.now())


def doom_all(policy: CopyPolicy) -> int:
    return Copy.objects.filter(policy=policy, doomed_at=None).update(doomed_at=timezone.now())


def remove_person(policy: CopyPolicy, store: Store, subject_id: UUID) -> Iterator[int]:
    """Delete whatever the place holds of a person, written down or not; yield how many a batch."""
    beginning = of_person(policy.pk, subject_id)
    while names := [found.name for found in islice(store.find(beginning), BATCH)]:
        store.delete(names)
        yield len(names)
    Copy.objects.filter(policy=policy, subject_id=subject_id).delete()


def left_of_person(policy: CopyPolicy, store: Store, subject_id: UUID) -> int:
    """Count what is left of a person: in the place itself, old versions included, and in our rows."""
    there = sum(1 for _found in store.find(of_person(policy.pk, subject_id)))
    return max(there, Copy.objects.filter(policy=policy, subject_id=subject_id).count())
