"""What every place holds of a person, counted while the page is made: for Data and privacy and before a request."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from apps.archives.selectors import open_archives
from apps.locations.contract import Identity, Item, Obstacle, Scope
from apps.locations.errors import LocationError
from apps.locations.labels import label
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.portal.counting import count_words
from apps.records import selectors as records
from apps.records.models import Subject
from apps.records.services import retention_days
from apps.records.subjects import identity_of

SECONDS = 2.0  # for one place: a page says "at least" rather than keep the person waiting
DAYS_OF_A_YEAR = 365
NAMES = (
    gettext_noop("Conversations"),
    gettext_noop("Your downloads"),
    gettext_noop("Account and requests"),
)  # labels.py
OWN_PURPOSES = {
    "records": gettext_lazy("So that you can go back to them. Your consent"),
    "archives": gettext_lazy("You asked for them"),
    "account": gettext_lazy("So that you can sign in, and to carry out your requests. Contract and legal duty"),
}
ITEMS_BETWEEN_LOOKS = 64  # at the clock


@dataclass(frozen=True)
class Kept:
    """Something that an erasure will not take at once, and why."""

    count: int
    reason: str
    until: date | None


@dataclass(frozen=True)
class HeldPlace:
    name: str
    kind: str
    country: str
    purpose: str
    retention: str
    holds: str  # counted, in words; "" for nothing
    size: int  # bytes, where the place says so
    is_complete: bool  # False: there is more than was counted
    is_silent: bool  # the place is switched off or did not answer
    horizon_days: int | None
    kept: list[Kept]


def held_places(subject: Subject, *, scope: Scope | None = None, is_erasure: bool = False) -> list[HeldPlace]:
    """Ask every place that ever held data, our own first; nothing is read but names and counts."""
    who, wanted = identity_of(subject), scope or Scope()
    locations = sorted(Location.objects.that_ever_held_data(), key=_own_first)
    return [_ask(subject, location, who, wanted, is_erasure) for location in locations]


def own_retention(subject: Subject, kind: str) -> str:
    """Say how long our own places keep what is in them."""
    if kind == "records":
        days = retention_days(subject.retention_days)
        if not days:
            return _("Until you erase them")
        if days % DAYS_OF_A_YEAR == 0:
            years = days // DAYS_OF_A_YEAR
            words = ngettext("%(years)s year after the last message", "%(years)s years after the last message", years)
            return words % {"years": years}
        words = ngettext("%(days)s day after the last message", "%(days)s days after the last message", days)
        return words % {"days": intcomma(days)}
    if kind == "archives":
        days = settings.ARCHIVE_LIFETIME_DAYS
        return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
    months = settings.REQUEST_RETENTION_MONTHS
    words = ngettext(
        "As long as your account; requests %(months)s month",
        "As long as your account; requests %(months)s months",
        months,
    )
    return words % {"months": months} if kind == "account" else ""


def _own_first(location: Location) -> tuple[int, str]:
    own = ("records", "archives", "account")
    return (own.index(location.kind) if location.kind in own else len(own), location.name)


def _ask(subject: Subject, location: Location, who: Identity, scope: Scope, is_erasure: bool) -> HeldPlace:
    counts: Counter[str] = Counter()
    kept: list[Kept] = []
    size, is_complete, is_silent = 0, True, not location.is_enabled
    if location.is_enabled:
        try:
            connector = connector_for(location)
            if is_erasure:
                kept = [_kept(obstacle) for obstacle in connector.preflight(who, scope)]
            if location.kind == "records" and not (scope.since or scope.until):
                counts, size = _own_conversations(subject)
            elif location.kind == "archives":
                counts, size = _own_archives(subject)
            else:
                size, is_complete = _count(connector.find(who, scope), counts)
        except LocationError:
            is_silent = True
    return HeldPlace(
        name=label(location),
        kind=location.kind,
        country=location.country,
        purpose=location.purpose or str(OWN_PURPOSES.get(location.kind, "")),
        retention=location.retention or own_retention(subject, location.kind),
        holds=count_words(counts),
        size=size,
        is_complete=is_complete,
        is_silent=is_silent,
        horizon_days=location.horizon_days,
        kept=kept,
    )


def _own_conversations(subject: Subject) -> tuple[Counter[str], int]:
    """Count our own rows by a few queries instead of walking through them."""
    held = records.held_summary(subject)
    counts = {"conversations": held.conversations, "messages": held.messages, "attachments": held.files}
    return Counter(counts), held.file_bytes


def _own_archives(subject: Subject) -> tuple[Counter[str], int]:
    ready = open_archives(subject.pk)
    return Counter({"archives": ready.count()}), ready.aggregate(total=Sum("size"))["total"] or 0


def _count(items: Iterator[Item], counts: Counter[str]) -> tuple[int, bool]:
    ends_at, size = time.monotonic() + SECONDS, 0
    for number, item in enumerate(items):
        counts[item.kind] += 1
        size += item.size or 0
        if number % ITEMS_BETWEEN_LOOKS == 0 and time.monotonic() > ends_at:
            return size, False
    return size, True


def _kept(obstacle: Obstacle) -> Kept:
    reason = str(Reason(obstacle.reason).label) if obstacle.reason in Reason.values else ""
    return Kept(obstacle.count, reason, obstacle.until)
