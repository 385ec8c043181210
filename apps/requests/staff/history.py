"""The history of a request, from the log: every entry with its index, so that each can be proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from apps.audit import listing
from apps.audit import selectors as audit
from apps.audit.actors import Role
from apps.audit.events import Event, Purpose
from apps.locations.labels import staff_label
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests.labels import PHASES
from apps.requests.models import PrivacyRequest
from apps.requests.staff import words

SHOWN = 200  # the newest; auditors have all of them

RULES = {
    "person": gettext_lazy("by a person"),
    "standing_policy": gettext_lazy("by the standing rule"),
    "command_line": gettext_lazy("on the command line"),
}
COUNTS = {
    "erased": ngettext_lazy("%(value)s erased", "%(value)s erased", "value"),
    "exported": ngettext_lazy("%(value)s collected", "%(value)s collected", "value"),
    "corrected": ngettext_lazy("%(value)s corrected", "%(value)s corrected", "value"),
    "restricted": ngettext_lazy("%(value)s left alone", "%(value)s left alone", "value"),
    "lifted": ngettext_lazy("%(value)s in use again", "%(value)s in use again", "value"),
    "corrections": ngettext_lazy("%(value)s value", "%(value)s values", "value"),
    "found": ngettext_lazy("%(value)s found", "%(value)s found", "value"),
    "remaining": ngettext_lazy("%(value)s still there", "%(value)s still there", "value"),
    "steps": ngettext_lazy("%(value)s step", "%(value)s steps", "value"),
    "locations": ngettext_lazy("%(value)s place", "%(value)s places", "value"),
    "blocked": ngettext_lazy("%(value)s blocked", "%(value)s blocked", "value"),
    "needs_person": ngettext_lazy("%(value)s needs a person", "%(value)s need a person", "value"),
    "size": ngettext_lazy("%(value)s byte", "%(value)s bytes", "value"),
    "documents": ngettext_lazy("%(value)s document", "%(value)s documents", "value"),
    "destroyed": ngettext_lazy("%(value)s key", "%(value)s keys", "value"),
}
DATES = {
    "due": gettext_lazy("due %(value)s"),
    "until": gettext_lazy("until %(value)s"),
    "on": gettext_lazy("on %(value)s"),
}
TOLD_AS_ZERO = ("erased", "exported", "found", "remaining")


@dataclass(frozen=True)
class HistoryRow:
    pk: int
    at: datetime
    what: str
    role: str
    note: str
    index: int | None  # None: the log has not given it its place yet
    is_signed: bool
    is_late: bool  # unsigned for longer than it may take


def rows_of(request: PrivacyRequest) -> list[HistoryRow]:
    """Return the newest entries about a request, oldest first."""
    newest = list(audit.entries(about=request.handle)[:SHOWN])[::-1]
    rows = listing.rows_of(newest)
    places = _places(rows)
    return [_row(row, places) for row in rows]


def _row(row: listing.Row, places: dict[str, str]) -> HistoryRow:
    entry = row.entry
    event, role = entry.event, entry.role
    return HistoryRow(
        pk=entry.pk,
        at=entry.created_at,
        what=str(Event(event).label) if event in Event.values else event,
        role=str(Role(role).label) if role in Role.values else role,
        note=_(", ").join(_notes(row.details, places)),
        index=row.index,
        is_signed=row.is_signed,
        is_late=row.is_late,
    )


def _places(rows: list[listing.Row]) -> dict[str, str]:
    ids = {row.details["location"] for row in rows if row.details.get("location")}
    return {str(place.pk): staff_label(place) for place in Location.objects.filter(pk__in=ids)}


def _notes(details: dict[str, Any], places: dict[str, str]) -> list[str]:
    """Say the details that tell staff something; ids and hashes stand in the entry itself."""
    said = {
        "location": places.get(details.get("location", ""), ""),
        "phase": str(PHASES.get(details.get("phase", ""), "")),
        "reason": words.reason(details["reason"]) if details.get("reason") in Reason.values else "",
        "purpose": str(Purpose(details["purpose"]).label) if details.get("purpose") in Purpose.values else "",
        "rule": str(RULES.get(details.get("rule", ""), "")),
        "identity": words.level(details["identity"]) if details.get("identity") else "",
    }
    told = {name: value for name, value in details.items() if value or name in TOLD_AS_ZERO}
    counts = [str(text % {"value": _number(told[name])}) for name, text in COUNTS.items() if name in told]
    dates = [str(text) % {"value": _day(told[name])} for name, text in DATES.items() if name in told]
    return [text for text in said.values() if text] + counts + dates


def _number(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(value)


def _day(value: str) -> str:
    """Say a day or a moment, which the log has as text."""
    day, moment = parse_date(value), parse_datetime(value)
    if day is not None:
        return words.day(day)
    return words.moment(moment) if moment is not None else value
