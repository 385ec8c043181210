"""Deleting copies: what is doomed, and what is of conversations that were erased. The object first, then its row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.keys.selectors import destroyed_among
from apps.locations.errors import Blocked
from apps.locations.holding import Hold, remaining
from apps.locations.stores import Store
from apps.records.copies.naming import of_person
from apps.records.models import Conversation, Copy, CopyPolicy

BATCH = 500


def removable() -> QuerySet[Copy]:
    """Return the copies that are to be deleted now: not those that their place may not let go yet."""
    is_free = Q(held_until=None) | Q(held_until__lte=timezone.now().date())
    return Copy.objects.filter(is_free, doomed_at__isnull=False)


def remove_doomed(policy: CopyPolicy, store: Store) -> int:
    """Delete what is to go; return how many. What a lock or a hold keeps waits for its day and keeps nothing else.

    Raises LocationError, then the rest waits.
    """
    count = 0
    doomed = removable().filter(policy=policy).order_by("pk")
    while names := list(doomed.values_list("object_name", flat=True)[:BATCH]):
        held = delete_objects(policy, store, names).held
        count += len(names) - len(held)
    return count


def delete_objects(policy: CopyPolicy, store: Store, names: list[str]) -> Blocked:
    """Delete objects, then their rows; return what keeps some of them, of which the rows stay, with the day to try again."""
    stays = Blocked("")
    try:
        store.delete(names)
    except Blocked as error:
        if not error.held:
            raise
        stays = error
    rows, tomorrow = Copy.objects.filter(policy=policy), timezone.now().date() + timedelta(days=1)
    rows.filter(object_name__in=[name for name in names if name not in stays.held]).delete()
    by_day = defaultdict[date, list[str]](list)
    for name, day in stays.held.items():
        by_day[max(day or tomorrow, tomorrow)].append(name)
    for day, some in by_day.items():
        doomed_at = Coalesce("doomed_at", timezone.now())
        rows.filter(object_name__in=some).update(doomed_at=doomed_at, held_until=day)
    return stays


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
    """Delete whatever the place holds of a person, written down or not; yield how many a batch.

    Raises Blocked with what is held, when all that is not is gone. A listing goes on behind what is held, never behind
    what was deleted: some servers find no place to go on from there.
    """
    beginning, last = of_person(policy.pk, subject_id), ""
    holds, before = list[Hold](), list[str]()
    while names := [found.name for found in islice(store.find(beginning, last), BATCH)]:
        if names == before:
            return  # it says that it deletes and does not: the second look tells
        before = names
        stays = delete_objects(policy, store, names)
        holds += [(stays.reason, day) for day in stays.held.values()]
        yield len(names) - len(stays.held)
        last = next((name for name in reversed(names) if name in stays.held), last)
    if holds:
        left = remaining(holds)
        raise Blocked(left.reason, left.until)
    Copy.objects.filter(policy=policy, subject_id=subject_id).delete()


def left_of_person(policy: CopyPolicy, store: Store, subject_id: UUID) -> int:
    """Count what is left of a person: in the place itself, old versions included, and in our rows."""
    there = sum(1 for _found in store.find(of_person(policy.pk, subject_id)))
    return max(there, Copy.objects.filter(policy=policy, subject_id=subject_id).count())
