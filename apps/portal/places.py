"""What every place holds of a person, counted while the page is made: for Data and privacy and before a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from apps.archives.selectors import open_archives
from apps.locations.contract import DoneByHand, Identity, Obstacle, Scope
from apps.locations.labels import country_words, label
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.portal.asking import Found, Question, ask
from apps.records import selectors as records
from apps.records.models import Subject
from apps.records.services import retention_days
from apps.records.subjects import identity_of
from apps.requests.counting import count_words

OWN = ("records", "archives", "account")  # in the order in which they are shown
IN_OUR_DATABASE = (*OWN, "copies")  # these are asked at once: another thread has no connection to it
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
    is_by_hand: bool  # nobody knows before a person has looked there
    horizon_days: int | None
    kept: list[Kept]


def held_places(subject: Subject, *, scope: Scope | None = None, is_erasure: bool = False) -> list[HeldPlace]:
    """Ask every place that ever held data, our own first; nothing is read but names and counts."""
    who, wanted = identity_of(subject), scope or Scope()
    locations = sorted(Location.objects.that_ever_held_data(), key=_own_first)
    asked = {
        place.pk: Question(connector_for(place), who, wanted, is_erasure=is_erasure)
        for place in locations
        if place.is_enabled and place.kind not in IN_OUR_DATABASE
    }
    return [
        _held(
            subject,
            place,
            asked[place.pk].answer() if place.pk in asked else _look(subject, place, who, wanted, is_erasure),
        )
        for place in locations
    ]


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
    return (OWN.index(location.kind) if location.kind in OWN else len(OWN), location.name)


def _look(subject: Subject, location: Location, who: Identity, scope: Scope, is_erasure: bool) -> Found:
    """Count in one of our own places, by a few queries instead of walking through them; a switched-off one is silent."""
    if not location.is_enabled:
        return Found(is_silent=True, is_complete=False)
    if location.kind not in ("records", "archives") or scope.since or scope.until:
        return ask(connector_for(location), who, scope, is_erasure=is_erasure)
    obstacles = connector_for(location).preflight(who, scope) if is_erasure else []
    counts, size = _own_conversations(subject) if location.kind == "records" else _own_archives(subject)
    return Found(counts, size, obstacles=obstacles)


def _held(subject: Subject, location: Location, found: Found) -> HeldPlace:
    return HeldPlace(
        name=label(location),
        kind=location.kind,
        country=country_words(location.kind, location.country),
        purpose=location.purpose or str(OWN_PURPOSES.get(location.kind, "")),
        retention=location.retention or own_retention(subject, location.kind),
        holds=count_words(found.counts),
        size=found.size,
        is_complete=found.is_complete,
        is_silent=found.is_silent,
        is_by_hand=isinstance(connector_for(location), DoneByHand),
        horizon_days=location.horizon_days,
        kept=[_kept(obstacle) for obstacle in found.obstacles if obstacle.reason != Reason.BY_HAND],
    )


def _own_conversations(subject: Subject) -> tuple[Counter[str], int]:
    """Count our own rows by a few queries instead of walking through them."""
    held = records.held_summary(subject)
    counts = {"conversations": held.conversations, "messages": held.messages, "attachments": held.files}
    return Counter(counts), held.file_bytes


def _own_archives(subject: Subject) -> tuple[Counter[str], int]:
    ready = open_archives(subject.pk)
    return Counter({"archives": ready.count()}), ready.aggregate(total=Sum("size"))["total"] or 0


def _kept(obstacle: Obstacle) -> Kept:
    reason = str(Reason(obstacle.reason).label) if obstacle.reason in Reason.values else ""
    return Kept(obstacle.count, reason, obstacle.until)
