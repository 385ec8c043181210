"""A request as its person sees it: what has happened, what happens next, what the law says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, ngettext_lazy

from apps.audit.events import Event
from apps.locations.labels import OWN_LABELS, label
from apps.locations.reasons import Reason
from apps.requests import selectors
from apps.requests.clocks import DayType, Period
from apps.requests.counting import done_words
from apps.requests.erasure import open_copies
from apps.requests.models import CHANGES, Kind, PrivacyRequest, Status, Step
from apps.requests.regimes import NONE, Regime, regime_of
from apps.requests.selectors import Happening, PlaceProgress

BADGES = {
    Step.State.RUNNING: "running",
    Step.State.DONE: "done",
    Step.State.BLOCKED: "blocked",
    Step.State.NEEDS_PERSON: "person",
}
TOLD = {
    Event.REQUEST_OPENED: gettext_lazy("We received your request"),
    Event.REQUEST_VERIFYING: gettext_lazy("We check that it is you"),
    Event.REQUEST_VERIFIED: gettext_lazy("We know that it is you"),
    Event.REQUEST_APPROVED: gettext_lazy("Approved"),
    Event.REQUEST_SECOND_APPROVED: gettext_lazy("Approved by a second person"),
    Event.COMMAND_LINE_APPROVAL: gettext_lazy("Approved by the operator"),
    Event.REQUEST_COOLING_OFF: gettext_lazy("Time to change your mind"),
    Event.REQUEST_EXTENDED: gettext_lazy("We need longer"),
    Event.RESTRICTION_EXTENDED: gettext_lazy("A place was added since: it is told to leave your data alone, too"),
    Event.LIFT_ANNOUNCED: gettext_lazy("We told you when the restriction is lifted"),
    Event.LIFT_BEGUN: gettext_lazy("Lifting of the restriction began"),
    Event.COPY_WAIVED: gettext_lazy("The erasure does not wait for your copy"),
    Event.REQUEST_RUNNING: gettext_lazy("Work began"),
    Event.ARCHIVE_PUBLISHED: gettext_lazy("Your download was ready"),
    Event.ARCHIVE_DELIVERED: gettext_lazy("Fetched by the privacy team, to be delivered"),
    Event.ARCHIVE_EXPIRED: gettext_lazy("The download expired, and its key was destroyed"),
    Event.KEYS_DESTROYED: gettext_lazy("Your keys were destroyed: unreadable"),
    Event.RECEIPT_ISSUED: gettext_lazy("Receipt issued"),
    Event.REQUEST_PARTLY_COMPLETED: gettext_lazy("Done as far as it goes for now"),
    Event.REQUEST_COMPLETED: gettext_lazy("Complete"),
    Event.REQUEST_REFUSED: gettext_lazy("Refused"),
    Event.REQUEST_WITHDRAWN: gettext_lazy("You withdrew"),
    Event.REQUEST_LAPSED: gettext_lazy("Closed: we could not find out that it is you"),
    Event.EVIDENCE_RECEIVED: gettext_lazy("We received a document from you"),
    Event.EVIDENCE_DESTROYED: gettext_lazy("The document was destroyed"),
}
CITES = (
    gettext_noop("Article 12(3)"),
    gettext_noop("11 CCR § 7021(a)"),
    gettext_noop("11 CCR § 7021(b)"),
)  # of regimes.py, to be translated
NO_COUNTS: dict[str, tuple[Any, Any]] = {  # what was changed in a place, and that nothing was
    Step.Phase.CORRECT: (
        ngettext_lazy("%(number)s correction", "%(number)s corrections", "number"),
        gettext_lazy("Nothing had to be changed here"),
    ),
    Step.Phase.RESTRICT: (
        ngettext_lazy("%(number)s item left alone", "%(number)s items left alone", "number"),
        gettext_lazy("Nothing had to be marked here"),
    ),
    Step.Phase.LIFT: (
        ngettext_lazy("%(number)s item in use again", "%(number)s items in use again", "number"),
        gettext_lazy("Nothing was marked here"),
    ),
}
RULES = {
    "standing_policy": gettext_lazy("by the standing rule for people who are signed in"),
    "person": gettext_lazy("by the privacy team"),
}


@dataclass(frozen=True)
class Point:
    """A point of the line: "past", "now" or "" for what is to come."""

    state: str
    title: str
    at: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class Place:
    name: str
    badge: str
    words: str
    note: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Deadline:
    words: str  # "1 month"
    cite: str
    is_extended: bool


def points_of(request: PrivacyRequest, places: list[Place]) -> list[Point]:
    """Return the line of a request: what the log says has happened, then what is to come."""
    past = [point for one in selectors.timeline(request) if (point := _past(request, one))]
    coming = _coming(request, places)
    if not coming or past[-1:] == []:
        return past
    return [*past, Point("now", *coming[0]), *(Point("", *one) for one in coming[1:])]


def places_of(request: PrivacyRequest) -> list[Place]:
    shown = selectors.progress(request)
    lifting = [one for one in shown if one.step.phase == Step.Phase.LIFT]  # then that is what a place is about
    return [_place(request, one) for one in sorted(lifting or shown, key=_own_first)]


def deadline_of(request: PrivacyRequest) -> Deadline:
    """Say which period the shown date comes from: the earliest clock that still runs, else the answer's."""
    regime = regime_of(request.regime)
    clocks = sorted(request.clocks.all(), key=lambda clock: (clock.met_at is not None, clock.due_on))
    clock = next((one for one in clocks if one.due_on == request.due_on), clocks[0] if clocks else None)
    is_extended = clock is not None and clock.extended_on is not None
    period = regime.extended if is_extended and regime.extended else regime.respond
    if clock is not None and clock.duty == "acknowledge" and regime.acknowledge:
        period = regime.acknowledge
    return Deadline(period_words(period), cite_of(regime, period), is_extended)


def cite_of(regime: Regime, period: Period) -> str:
    return law_words(regime, _(period.cite)) if regime.code == "gdpr" else _(period.cite)


def law_words(regime: Regime, article: object) -> str:
    """Name an article with its law."""
    return _("%(law)s, %(article)s") % {"law": regime.name, "article": article}


def period_words(period: Period) -> str:
    """Say a legal period: 1 month, 45 days, 10 business days."""
    number = {"number": period.amount}
    if period.unit is DayType.MONTH:
        return ngettext("%(number)s month", "%(number)s months", period.amount) % number
    if period.unit is DayType.BUSINESS_DAY:
        return ngettext("%(number)s business day", "%(number)s business days", period.amount) % number
    return ngettext("%(number)s day", "%(number)s days", period.amount) % number


def waits_for_archive(request: PrivacyRequest) -> bool:
    """Say whether an erasure stands still until the person has fetched their copy."""
    waiting = request.steps.filter(phase=Step.Phase.PREPARE, state=Step.State.BLOCKED, reason=Reason.WAITS_FOR_ARCHIVE)
    return request.kind == Kind.ERASURE and not request.is_destroyed and waiting.exists()


def waits_for_lift(request: PrivacyRequest) -> bool:
    """Say whether an erasure stands still until a restriction of the same person is lifted."""
    waiting = request.steps.filter(phase=Step.Phase.PREPARE, state=Step.State.BLOCKED, reason=Reason.RESTRICTED)
    return request.kind == Kind.ERASURE and waiting.exists()


def copy_waited_for(request: PrivacyRequest) -> PrivacyRequest | None:
    """Return the copy that an erasure waits for: one that can be fetched now first, else one that is still being made."""
    if not waits_for_archive(request):
        return None
    return min(
        open_copies(request),
        key=lambda one: one.status not in (Status.COMPLETED, Status.PARTLY_COMPLETED),
        default=None,
    )


def was_overtaken(request: PrivacyRequest) -> bool:
    """Say whether it lapsed because an erasure came first: then it was known who asks."""
    return request.status == Status.LAPSED and request.identity_level != NONE


def _past(request: PrivacyRequest, one: Happening) -> Point | None:
    """Put an event of the log into words; None for what is not of the person's line."""
    if one.event not in TOLD:
        return None
    if one.event == Event.KEYS_DESTROYED and (request.kind != Kind.ERASURE or one.details.get("reason") != "erased"):
        return None
    if one.event == Event.REQUEST_COOLING_OFF and request.status == Status.COOLING_OFF:
        return None  # it is what stands there as "now"
    if one.event == Event.REQUEST_VERIFYING and request.status == Status.VERIFYING:
        return None  # so is this
    if one.event == Event.REQUEST_LAPSED and was_overtaken(request):
        return Point("past", _("Closed: an erasure came first"), one.at)
    note = str(RULES.get(one.details.get("rule", ""), ""))
    if one.event == Event.LIFT_ANNOUNCED:
        note = _("on %(day)s") % {"day": formats.date_format(date.fromisoformat(one.details["on"]))}
    if one.event == Event.REQUEST_EXTENDED:
        note = _("until %(day)s") % {"day": formats.date_format(request.due_on)}
    return Point("past", str(TOLD[Event(one.event)]), one.at, note)


def _coming(request: PrivacyRequest, places: list[Place]) -> list[tuple[str, datetime | None, str]]:
    status, to_come = request.status, _work_to_come(request.kind)
    count = len(places)
    if status in (Status.RECEIVED, Status.VERIFYING):
        first = [(_("We check that it is you"), None, _("A person compares what you gave with what we hold"))]
        return [*first, (_("Decision"), None, ""), *to_come]
    if status == Status.IN_REVIEW:
        wanted = _("A second person looks at it") if request.approvals.exists() else _("The privacy team looks at it")
        return [(wanted, None, ""), *_time_to_think(request), *to_come]
    if status == Status.COOLING_OFF:
        return [*_time_to_think(request), *to_come]
    if status in (Status.APPROVED, Status.RUNNING):
        return _running(request, places)
    if status == Status.PARTLY_COMPLETED:
        missing = sum(place.badge != "done" for place in places)
        words = ngettext("%(number)s place is missing", "%(number)s places are missing", missing) % {"number": missing}
        return [(words, None, _("%(done)s of %(all)s places done") % {"done": count - missing, "all": count})]
    return []


def _time_to_think(request: PrivacyRequest) -> list[tuple[str, datetime | None, str]]:
    until = request.cooling_off_until
    if until is None or until <= timezone.now():
        return []
    return [(_("Time to change your mind"), None, _("Until %(when)s") % {"when": _when(until)})]


def _running(request: PrivacyRequest, places: list[Place]) -> list[tuple[str, datetime | None, str]]:
    done = _("%(done)s of %(all)s places done") % {
        "done": sum(place.badge == "done" for place in places),
        "all": len(places),
    }
    to_come = _work_to_come(request.kind)
    if request.kind in CHANGES:
        return [(to_come[0][0], None, done), *to_come[1:]]
    if request.kind != Kind.ERASURE:
        return [(_("We are collecting"), None, done), (_("Complete"), None, _("You get an e-mail"))]
    if waits_for_archive(request):
        return [(_("Waits until you have your copy"), None, ""), *to_come]
    if request.is_destroyed:
        return [(_("The encrypted rest is removed, place by place"), None, done), *to_come[1:]]
    return [(_("Keys are being destroyed"), None, ""), *to_come[1:]]


def _work_to_come(kind: str) -> list[tuple[str, datetime | None, str]]:
    receipt = (_("You get a receipt"), None, _("With a proof that you can check yourself"))
    if kind == Kind.RECTIFICATION:
        return [(_("It is corrected, place by place"), None, ""), receipt]
    if kind == Kind.RESTRICTION:
        return [(_("Every place is told to leave your data alone"), None, ""), receipt]
    if kind != Kind.ERASURE:
        return [(_("We collect from every place"), None, ""), (_("You can download it"), None, _("You get an e-mail"))]
    return [
        (_("Keys destroyed: unreadable"), None, _("From that moment nobody can open your data")),
        (_("Erased in every place, and looked at again"), None, ""),
        receipt,
    ]


def _place(request: PrivacyRequest, one: PlaceProgress) -> Place:
    step = one.step
    name = label(step.location) if step.location else one.place
    if request.status in (Status.WITHDRAWN, Status.REFUSED) and one.state != Step.State.DONE:
        return Place(name, "", _("Stopped"), "")
    if step.awaits_second_look:
        badge = BADGES.get(Step.State.RUNNING, "")
        return Place(name, badge, _("Erased, and looked at again"), _note(one), one.done, step.found or 0)
    return Place(name, BADGES.get(Step.State(one.state), ""), _words(one), _note(one), one.done, step.found or 0)


def _own_first(one: PlaceProgress) -> tuple[int, str]:
    kinds = list(OWN_LABELS)
    return (kinds.index(one.kind) if one.kind in kinds else len(kinds), one.place)


def _words(one: PlaceProgress) -> str:
    if one.state == Step.State.BLOCKED and one.until:
        return _("Blocked until %(day)s") % {"day": formats.date_format(one.until)}
    words = {
        Step.State.PENDING: _("Waiting"),
        Step.State.RUNNING: _("Running"),
        Step.State.DONE: _("Done"),
        Step.State.BLOCKED: _("Not yet"),
        Step.State.NEEDS_PERSON: _("A person looks at it"),
    }
    return words[Step.State(one.state)]


def _note(one: PlaceProgress) -> str:
    """Say what was done in a place, what stands in the way, and when we try again."""
    if one.step.phase in NO_COUNTS:
        return _change_note(one)
    parts = [done_words(one.counts, one.kind, one.done)]
    if one.step.awaits_second_look and not parts[0]:
        parts = [_("Nothing was erased here so far. We look again before you get your receipt")]
    elif one.state == Step.State.DONE and not parts[0]:
        parts = [_("Nothing was held here")]
    if one.state in (Step.State.BLOCKED, Step.State.NEEDS_PERSON) and one.reason_text:
        parts.append(str(one.reason_text))
    if one.state == Step.State.BLOCKED and one.next_try_at and not one.until:
        parts.append(
            _("We try again by ourselves at %(when)s. You do not have to do anything")
            % {"when": _when(one.next_try_at)}
        )
    said = [part for part in parts if part]
    return said[0] if len(said) == 1 else "".join(part + _(". ") for part in said).strip()


def _change_note(one: PlaceProgress) -> str:
    """Say what was corrected or marked in a place, or what stands in the way."""
    if one.state != Step.State.DONE:
        return one.reason_text
    words = NO_COUNTS[one.step.phase]
    if not one.done:
        return str(words[1])
    return str(words[0] % {"number": one.done})


def _when(moment: datetime) -> str:
    return formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def now() -> datetime:
    return timezone.now()
