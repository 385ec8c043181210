"""The history of a request, from the log: every entry with its index, so that each can be proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from apps.audit import listing
from apps.audit import selectors as audit
from apps.audit.actors import Role
from apps.audit.events import Event, Purpose
from apps.locations.labels import staff_label
from apps.locations.models import Location
from apps.requests.labels import PHASES
from apps.requests.models import PrivacyRequest
from apps.requests.staff import words

SHOWN = 200  # the newest; auditors have all of them

RULES = {
    "person": _lazy("by a person"),
    "standing_policy": _lazy("by the standing rule"),
    "command_line": _lazy("on the command line"),
}
NAMES = {
    "erased": _lazy("%(value)s erased"),
    "exported": _lazy("%(value)s collected"),
    "found": _lazy("%(value)s found"),
    "remaining": _lazy("%(value)s still there"),
    "steps": _lazy("%(value)s steps"),
    "locations": _lazy("%(value)s places"),
    "blocked": _lazy("%(value)s blocked"),
    "needs_person": _lazy("%(value)s need a person"),
    "number": _lazy("number %(value)s"),
    "size": _lazy("%(value)s bytes"),
    "documents": _lazy("%(value)s documents"),
    "destroyed": _lazy("%(value)s keys"),
    "due": _lazy("due %(value)s"),
    "until": _lazy("until %(value)s"),
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
        "reason": words.reason(details.get("reason", "")),
        "purpose": str(Purpose(details["purpose"]).label) if details.get("purpose") in Purpose.values else "",
        "rule": str(RULES.get(details.get("rule", ""), "")),
        "identity": words.level(details["identity"]) if details.get("identity") else "",
    }
    details = {name: value for name, value in details.items() if value or name in TOLD_AS_ZERO}
    counts = [
        str(text) % {"value": _said(details[name])} for name, text in NAMES.items() if details.get(name) is not None
    ]
    return [text for text in said.values() if text] + counts


def _said(value: Any) -> str:
    """Say a number, how many ids, a day or a moment; the log has the last two as text."""
    if isinstance(value, list):
        return str(len(value))
    if not isinstance(value, str):
        return f"{value:,}"
    day, moment = parse_date(value), parse_datetime(value)
    if day is not None:
        return words.day(day)
    return words.moment(moment) if moment is not None else value
