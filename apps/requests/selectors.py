"""Reading requests: for the person's pages, for staff's, for commands. Statistics are in statistics.py."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from apps.archives.models import Archive
from apps.archives.selectors import archives_of_request
from apps.audit import selectors as audit
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.locations.contract import DoneByHand, Identity, Obstacle, Scope
from apps.locations.deadlines import looking_for
from apps.locations.errors import LocationError
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.records.models import Subject
from apps.records.subjects import identity_indexes, identity_ring
from apps.requests import asking, moments
from apps.requests.errors import RecordErased
from apps.requests.models import CHANGES, ENDED, Intake, Kind, Message, PrivacyRequest, Receipt, Status, Step
from apps.requests.references import is_code, tidy_reference
from apps.requests.vault import body_of, details_of, open_vault, scope_of, text_of
from apps.requests.who import identity_of

LOOK_SECONDS = 20.0  # for one place, what stands in the way included
PREVIEW_SECONDS = 10.0  # for one place: a preview says "at least" rather than keep staff waiting
UNFINISHED = tuple(status for status in Status if status not in ENDED)


def my_requests(subject: Subject) -> QuerySet[PrivacyRequest]:
    """Return a person's requests, newest first."""
    return PrivacyRequest.objects.filter(subject_id=subject.pk).order_by("-received_at")


def my_request(subject: Subject, reference: str) -> PrivacyRequest | None:
    """Return the person's own request of that reference; somebody else's is not there."""
    return my_requests(subject).filter(reference=tidy_reference(reference)).first()


def by_reference(reference: str) -> PrivacyRequest | None:
    return PrivacyRequest.objects.filter(reference=tidy_reference(reference)).first()


def handle_of(reference: str) -> str:
    """Return what the log calls a request, however its reference was typed; "" for one that is not there."""
    found = by_reference(reference)
    return found.handle if found else ""


def by_email(email: str) -> QuerySet[PrivacyRequest]:
    """Return the requests of this exact address, for staff."""
    return with_email_indexes(email_indexes(email))


def email_indexes(email: str) -> list[bytes]:
    """Return the blind indexes under which requests of this address stand: more than one while the key is changed."""
    return identity_indexes(identity_ring("email"), "email", email)


def with_email_indexes(indexes: list[bytes]) -> QuerySet[PrivacyRequest]:
    return PrivacyRequest.objects.filter(email_index__in=indexes).order_by("-received_at")


def by_reference_and_code(reference: str, code: str) -> PrivacyRequest | Intake | None:
    """Return what the two open without a sign-in: status and receipt, nothing else. None for whatever does not fit."""
    tidy = tidy_reference(reference)
    known, waiting = (model.objects.filter(reference=tidy).first() for model in (PrivacyRequest, Intake))  # always both
    found: PrivacyRequest | Intake | None = known or waiting
    return found if found is not None and is_code(code, bytes(found.code_hash)) else None


def queue() -> QuerySet[PrivacyRequest]:
    """Return what staff have to do with, most urgent first."""
    return PrivacyRequest.objects.filter(status__in=UNFINISHED).select_related("assigned_to").order_by("due_on", "pk")


@dataclass(frozen=True)
class Told:
    """A message, opened."""

    at: datetime
    is_from_person: bool
    text: str


def messages_of(request: PrivacyRequest) -> list[Told]:
    """Open what was written both ways, oldest first; raises RecordErased."""
    vault = open_vault(request)
    rows: QuerySet[Message] = request.messages.order_by("sent_at", "pk")
    return [Told(row.sent_at, row.is_from_person, text_of(row, vault)) for row in rows]


def note_of(request: PrivacyRequest) -> str:
    """Open what the person added to the request; raises RecordErased."""
    return str(details_of(request).get("note", ""))


def asked_of(request: PrivacyRequest) -> list[asking.Line]:
    """Open what the person asks for in their own words, line by line; raises RecordErased."""
    return asking.lines_of(request, details_of(request))


def scope_of_request(request: PrivacyRequest) -> Scope:
    """Open which part is asked for; raises RecordErased."""
    return scope_of(details_of(request))


def stated_identity(request: PrivacyRequest) -> dict[str, Any]:
    """Open what the person said of themselves, and by what it was checked, for staff who decide on the identity."""
    details = details_of(request)
    names = ("email", "name", "data_points", "identity_methods")
    return {name: details[name] for name in names if details.get(name)}


@dataclass(frozen=True)
class Happening:
    """One line of a request's story, from the log."""

    at: datetime
    event: str
    label: str
    role: str
    place: str = ""  # name of the place that it is about
    details: dict[str, Any] = field(default_factory=dict)


NOT_TOLD = (Event.STEP_INTENDED, Event.KEYS_INTENDED)  # of use to auditors, not to the person


def timeline(request: PrivacyRequest) -> list[Happening]:
    """Return what has happened, oldest first."""
    entries = list(audit.entries_about(request.handle).exclude(event__in=NOT_TOLD))
    details = {entry.pk: audit.details_of(entry) for entry in entries}
    names = _names_of_places(details.values())
    return [_happening(entry, details[entry.pk], names) for entry in entries]


def _happening(entry: Entry, details: dict[str, Any], names: dict[str, str]) -> Happening:
    return Happening(
        at=entry.created_at,
        event=entry.event,
        label=str(Event(entry.event).label),
        role=entry.role,
        place=names.get(details.get("location", ""), ""),
        details=details,
    )


def _names_of_places(details: Any) -> dict[str, str]:
    ids = {one["location"] for one in details if one.get("location")}
    return {str(pk): name for pk, name in Location.objects.filter(pk__in=ids).values_list("pk", "name")}


@dataclass(frozen=True)
class PlaceProgress:
    """How far one place is, in the words of the pages."""

    place: str
    country: str
    kind: str
    state: str
    reason: str
    reason_text: str
    done: int
    counts: dict[str, int]
    remaining: int | None
    until: date | None
    next_try_at: datetime | None
    ended_at: datetime | None
    step: Step


def progress(request: PrivacyRequest) -> list[PlaceProgress]:
    """Return every place of the plan; none before the approval."""
    steps = request.steps.filter(location__isnull=False).select_related("location").order_by("order", "location__name")
    return [_place(step, step.location) for step in steps if step.location is not None]


def _place(step: Step, location: Location) -> PlaceProgress:
    return PlaceProgress(
        place=location.name,
        country=location.country,
        kind=location.kind,
        state=step.state,
        reason=step.reason,
        reason_text=str(Reason(step.reason).label) if step.reason in Reason.values else "",
        done=step.done_count,
        counts=step.counts,
        remaining=step.remaining,
        until=step.until,
        next_try_at=step.next_try_at,
        ended_at=step.ended_at,
        step=step,
    )


def is_withdrawable(request: PrivacyRequest) -> bool:
    """Say whether the person can still withdraw: nothing published or changed, no intent to destroy in the log."""
    if request.status in (*ENDED, Status.PARTLY_COMPLETED):
        return False
    if request.kind in CHANGES and request.status == Status.RUNNING:
        return False
    return not request.steps.filter(phase=Step.Phase.DESTROY, intent_entry__isnull=False).exists()


def archives_of(request: PrivacyRequest) -> QuerySet[Archive]:
    """Return the published archives of a request."""
    return archives_of_request(request.pk).filter(ready_at__isnull=False)


def receipts_of(request: PrivacyRequest) -> list[Receipt]:
    """Return the receipts that can be proven, the newest first: one exists only once its entry is signed."""
    rows = list(request.receipts.order_by("-number"))
    entries = Entry.objects.in_bulk([row.entry_id for row in rows])
    return [row for row in rows if row.entry_id in entries and audit.is_signed(entries[row.entry_id])]


def end_of_master_keys(request: PrivacyRequest) -> Entry | None:
    """Return the log's entry that says that nothing can open an old copy of the keys any more; None until then."""
    try:
        horizon = moments.horizon_of(request)
    except RecordErased:
        return None
    return moments.end_of_master_keys(request, horizon)


def horizon_words(request: PrivacyRequest) -> str:
    """Say T1 of an erasure as it stands now; "" before the keys are destroyed, and once the record is erased."""
    if request.unreadable_at is None:
        return ""
    try:
        return moments.horizon_words(moments.horizon_of(request))
    except RecordErased:
        return ""


def receipt_content(receipt: Receipt) -> dict[str, Any]:
    """Open what a receipt says, for its page; raises RecordErased."""
    content: dict[str, Any] = json.loads(body_of(receipt))
    return content


def receipt_file(receipt: Receipt) -> str:
    """Return the .tlog-proof that the person keeps; raises RecordErased, NotSigned."""
    return audit.receipt_text(Entry.objects.get(pk=receipt.entry_id), body_of(receipt))


@dataclass(frozen=True)
class PlanRow:
    """What would be read or erased in one place, counted without reading it."""

    place: str
    kind: str
    is_enabled: bool
    counts: dict[str, int]
    is_complete: bool  # False: counting took too long, there is more
    obstacles: list[Obstacle]
    trouble: str  # the place did not answer: in plain words
    is_by_hand: bool = False  # nothing can be counted: a person looks there


def identity_of_request(request: PrivacyRequest) -> Identity:
    """Return the person as the places are asked for them."""
    return identity_of(request, details_of(request))


def plan_preview(request: PrivacyRequest, places: Iterable[Location] | None = None) -> list[PlanRow]:
    """Ask every place (or those given) what it holds and what stands in the way, before anybody approves."""
    details = details_of(request)
    who, scope = identity_of(request, details), scope_of(details)
    asked = Location.objects.that_ever_held_data() if places is None else places
    return [_preview(location, who, scope, request.kind) for location in asked]


def _preview(location: Location, who: Any, scope: Any, kind: str) -> PlanRow:
    counts: Counter[str] = Counter()
    obstacles: list[Obstacle] = []
    is_complete, trouble, is_by_hand = True, "", False
    if location.is_enabled:
        try:
            connector = connector_for(location)
            is_by_hand = isinstance(connector, DoneByHand)
            with looking_for(LOOK_SECONDS):
                if kind == Kind.ERASURE:
                    obstacles = connector.preflight(who, scope)
                is_complete = _count(connector.find(who, scope), counts) and not is_by_hand
        except LocationError as error:
            trouble, is_complete = error.said, False
    return PlanRow(
        location.name, location.kind, location.is_enabled, dict(counts), is_complete, obstacles, trouble, is_by_hand
    )


def _count(items: Iterator[Any], counts: Counter[str]) -> bool:
    ends_at = time.monotonic() + PREVIEW_SECONDS
    for item in items:
        counts[item.kind] += 1
        if time.monotonic() > ends_at:
            return False
    return True


def is_late(request: PrivacyRequest) -> bool:
    """Say whether a legal date has passed without an answer."""
    return (
        request.status in UNFINISHED
        and request.due_on < timezone.localdate()
        and request.clocks.filter(met_at__isnull=True).exists()
    )
