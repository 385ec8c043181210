"""Who is still being erased in a place: no source may bring them in again from there meanwhile (settings.STILL_ERASED).

Their own rows and keys are gone by then, so that to a source they look like somebody new, or like whoever came back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from apps.records.subjects import is_spelled_as
from apps.requests.errors import RecordErased
from apps.requests.models import ENDED, PrivacyRequest, Step
from apps.requests.vault import details_of
from apps.requests.who import identity_of

ON_ITS_WAY = timedelta(minutes=10)  # what was read just before it was erased there, and is stored just after


class StillErased:
    """Asked for each person that a source meets; what an erasure copied of its person is opened once."""

    def __init__(self, location_id: UUID) -> None:
        self._location_id = location_id
        self._opened: dict[UUID, list[tuple[str, str]]] = {}

    def is_named_by(self, kind: str, value: str) -> bool:
        """Say whether this names somebody whose erasure has destroyed the keys and is not done in the place."""
        return any(is_spelled_as(kind, value, known) for name, known in self._values() if name == kind)

    def _values(self) -> Iterator[tuple[str, str]]:
        for request_id in self._requests():
            if request_id not in self._opened:
                self._opened[request_id] = _values_of(request_id)
            yield from self._opened[request_id]

    def _requests(self) -> list[UUID]:
        here = Step.objects.filter(location_id=self._location_id, phase=Step.Phase.PURGE, request__is_destroyed=True)
        is_open = ~Q(state=Step.State.DONE) & ~Q(request__status__in=ENDED)
        wanted = here.filter(is_open | Q(ended_at__gte=timezone.now() - ON_ITS_WAY))
        return list(wanted.order_by("request_id").values_list("request_id", flat=True))


def _values_of(request_id: UUID) -> list[tuple[str, str]]:
    request = PrivacyRequest.objects.get(pk=request_id)
    try:
        who = identity_of(request, details_of(request))
    except RecordErased:
        return []
    return [("subject_id", str(who.subject_id)), *who.values]
