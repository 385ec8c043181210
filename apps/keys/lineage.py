"""Two keys that are one: while a key is being replaced, the old one and the new one open the same."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q

from apps.keys.models import Key

IDS_A_QUERY = 400


def with_twins(key_ids: Collection[UUID]) -> set[UUID]:
    """Return these keys, and for each that is being replaced also the other one: an erasure takes both."""
    ids = list(key_ids)
    found = set(ids)
    for first in range(0, len(ids), IDS_A_QUERY):
        part = ids[first : first + IDS_A_QUERY]
        pairs = Key.objects.filter(Q(pk__in=part) | Q(replaces__in=part), replaces__isnull=False)
        for pair in pairs.values_list("pk", "replaces"):
            found |= {key_id for key_id in pair if key_id is not None}
    return found
