"""Suppression after an erasure: who was erased is not brought in again by staff or by a source (DESIGN §7).

Off by default (SUPPRESSION_DAYS). The list holds a blind index of each address and user id, under a key of its own, and the
day on which it is forgotten. It never stands in the person's own way: a sign-up is not asked, and empties it for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from django.conf import settings
from django.utils import timezone

from apps.records.errors import SubjectSuppressed
from apps.records.indexing.ring import SUPPRESSION, open_ring
from apps.records.models import Identity, Suppressed
from apps.sealing import blind

EXACT = {"user_id"}
Values = Iterable[tuple[str, str]]


def suppress(values: Values) -> int:
    """Note what an erased person was known by, in the caller's transaction; 0 while the list is off. A repeat renews the day."""
    until = end_date(_today())
    if until is None:
        return 0
    ring = open_ring(SUPPRESSION)
    while not ring.is_held():
        ring = open_ring(SUPPRESSION)
    indexes = {_index(ring.key, kind, value) for kind, value in _naming_one(values)}
    rows = [Suppressed(index=index, index_number=ring.number, until=until) for index in sorted(indexes)]
    Suppressed.objects.bulk_create(rows, update_conflicts=True, unique_fields=["index"], update_fields=["until"])
    return len(rows)


def refuse_suppressed(values: Values) -> None:
    """Raise SubjectSuppressed for somebody who was erased; for whoever adds people that did not sign up themselves."""
    found = Suppressed.objects.filter(index__in=_indexes(values), until__gte=_today())
    if settings.SUPPRESSION_DAYS and found.exists():
        raise SubjectSuppressed


def forget(values: Values) -> None:
    """Take the person off the list: they came back by themselves."""
    if Suppressed.objects.exists():
        Suppressed.objects.filter(index__in=_indexes(values)).delete()


def forget_expired() -> int:
    """Delete what has reached its day; everything, once the list is switched off."""
    over = Suppressed.objects.all()
    if settings.SUPPRESSION_DAYS:
        over = over.filter(until__lt=_today())
    return over.delete()[0]


def listed_until(values: Values) -> date | None:
    """Return until when somebody with one of these values stays on the list; None if they do not stand on it."""
    found = Suppressed.objects.filter(index__in=_indexes(values)) if Suppressed.objects.exists() else None
    return None if found is None else found.order_by("-until").values_list("until", flat=True).first()


def end_date(today: date) -> date | None:
    """Return until when somebody erased today stays on the list; None while it is off."""
    return today + timedelta(days=settings.SUPPRESSION_DAYS) if settings.SUPPRESSION_DAYS else None


def _today() -> date:
    """Return the day in the site's own time zone, in which dates are shown; not in that of who asks."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def _indexes(values: Values) -> list[bytes]:
    """Return what may stand on the list for these values. Nothing on it is brought under a new key: see rotation.md."""
    wanted = _naming_one(values)
    if not wanted:
        return []
    ring = open_ring(SUPPRESSION)
    return [_index(key, kind, value) for key in ring.keys.values() for kind, value in wanted]


def _naming_one(values: Values) -> list[tuple[str, str]]:
    """Return only what names one person: others may share a name or a telephone."""
    return [(kind, value.strip()) for kind, value in values if kind in Identity.UNIQUE_KINDS and value.strip()]


def _index(key: bytes, kind: str, value: str) -> bytes:
    return blind.index(key, kind, value, exact=kind in EXACT)
