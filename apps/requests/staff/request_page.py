"""What stands on the page of one request: where it stands, what to do now, plan, identity, words of the person, history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, Max, Min
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.accounts.models import User
from apps.locations.reasons import Reason
from apps.records.models import Conversation, LegalHold, Subject
from apps.records.services import standing_holds
from apps.requests import selectors, services
from apps.requests.dates import today
from apps.requests.doubting import waits_for_rectification
from apps.requests.errors import IdentityDoubted, RecordErased
from apps.requests.models import Clock, Kind, PrivacyRequest, Status, Step
from apps.requests.regimes import regime_of
from apps.requests.schedule import ACTIVE
from apps.requests.services.deciding import is_about
from apps.requests.staff import history, plan, todo, words
from apps.requests.staff.todo import Act


@dataclass(frozen=True)
class ClockLine:
    """A legal deadline with the rule it comes from."""

    law: str
    duty: str
    day: date
    distance: str
    cite: str
    is_met: bool
    is_extended: bool
    is_late: bool


def clock_lines(request: PrivacyRequest) -> list[ClockLine]:
    """Return every clock that applies: those that still run first, the earliest on top."""
    clocks: list[Clock] = sorted(request.clocks.all(), key=lambda clock: (clock.met_at is not None, clock.due_on))
    return [_clock_line(clock) for clock in clocks]


def _clock_line(clock: Clock) -> ClockLine:
    regime = regime_of(clock.regime)
    is_extended = clock.extended_on is not None
    period = regime.extended if is_extended and regime.extended else regime.respond
    if clock.duty == "acknowledge" and regime.acknowledge:
        period = regime.acknowledge
    return ClockLine(
        law=str(regime.name),
        duty=_("Acknowledge") if clock.duty == "acknowledge" else _("Answer"),
        day=clock.due_on,
        distance=words.distance(clock.due_on, today()),
        cite=_(period.cite),
        is_met=clock.met_at is not None,
        is_extended=is_extended,
        is_late=clock.met_at is None and clock.due_on < today(),
    )


def context_of(request: PrivacyRequest, user: User, *, purpose: str, everywhere: bool) -> dict[str, Any]:
    """Return everything that the page shows; `everywhere`: places outside are asked what they hold as well."""
    acts = todo.allowed(request, user)
    regime = regime_of(request.regime)
    primary = [acts[name] for name in todo.PRIMARY if name in acts][:1]
    lines = plan.step_lines(request, may_retry="retry" in acts and request.status in ACTIVE)
    return {
        "found": request,
        "kind": words.kind(request.kind),
        "regime": regime,
        "right": regime.right(request.kind),
        "badge": words.status_badge(request),
        "due": words.due_words(request, today()),
        "clocks": clock_lines(request),
        "purpose": purpose,
        "sentence": sentence(request, user, lines, acts),
        "primary": primary,
        "beside": [acts[name] for name in ("refuse",) if name in acts],
        "more": [acts[name] for name in todo.MORE if name in acts and acts[name] not in primary],
        "may": acts,
        "steps": lines,
        "progress": plan.places_done(lines),
        "identity": _identity(request),
        "person": _person(request),
        "holds": _holds(request),
        "archives": selectors.archives_of(request),
        "receipts": selectors.receipts_of(request),
        "horizon": selectors.horizon_words(request),
        "history": history.rows_of(request),
        "approvals": list(request.approvals.select_related("officer").order_by("given_at")),
    } | _sealed(request, everywhere)


def sentence(request: PrivacyRequest, user: User, lines: list[plan.StepLine], acts: dict[str, Act]) -> str:
    """Say in one sentence what is to be done now, or why nothing is."""
    status = Status(request.status)
    if status in (Status.RECEIVED, Status.VERIFYING, Status.IN_REVIEW) and is_about(request, user):
        return str(words.OWN)
    if status in (Status.RECEIVED, Status.VERIFYING):
        wanted = words.level(regime_of(request.regime).right(request.kind).identity).lower()
        return _("Find out whether it is the person. This right asks for: %(level)s.") % {"level": wanted}
    if status == Status.IN_REVIEW:
        return _review_sentence(request, user, acts)
    if status in ACTIVE:
        return _work_sentence(request, lines)
    values = {"day": words.moment(request.ended_at) if request.ended_at else ""}
    if status == Status.REFUSED:
        ground = regime_of(request.regime).ground(request.ground, request.kind)
        said = f"{ground.label} ({ground.article})" if ground else request.ground
        return _("Nothing to do. Refused on %(day)s: %(ground)s.") % (values | {"ground": said})
    if request.kind == Kind.RESTRICTION and status == Status.COMPLETED and request.lifted_at is None:
        return _restriction_sentence(request)
    said_by_status = {
        Status.COMPLETED: _("Nothing to do. Complete since %(day)s."),
        Status.WITHDRAWN: _("Nothing to do. Withdrawn on %(day)s."),
        Status.LAPSED: _("Nothing to do. Lapsed on %(day)s: the identity was not confirmed, or an erasure came first."),
    }
    return said_by_status[status] % values


def _restriction_sentence(request: PrivacyRequest) -> str:
    if request.lift_on is not None:
        return _("Nothing to do. The person was told: it is lifted on %(day)s.") % {"day": words.day(request.lift_on)}
    return _("The restriction stands. Lift it when its reason is over: the person is told before.")


def _review_sentence(request: PrivacyRequest, user: User, acts: dict[str, Act]) -> str:
    if waits_for_rectification(request):
        return str(words.WHAT_WENT_WRONG[IdentityDoubted])
    first = request.approvals.select_related("officer").order_by("given_at").first()
    if first is None and "approve" in acts:
        if services.needs_second_approver(request):
            return _(
                "Look at what would be erased in each place, then approve or refuse. A second person decides after you."
            )
        return _("Look at what each place holds, then approve or refuse.")
    if first is None and "corrections" in acts:
        return _("Say for each place what is corrected there, then approve; or refuse.")
    if first is None:
        return _("A compliance officer looks at it first. Nothing to do for you yet.")
    if first.officer_id == user.pk:
        return _("You approved it on %(day)s. Now a second person has to agree.") % {
            "day": words.moment(first.given_at)
        }
    values = {"who": first.officer.email if first.officer else _("a colleague"), "day": words.moment(first.given_at)}
    if "second" in acts:
        return _("%(who)s approved it on %(day)s. Look at the plan yourself, then agree; or write to them.") % values
    return _("%(who)s approved it on %(day)s. A second approver has to agree.") % values


def _work_sentence(request: PrivacyRequest, lines: list[plan.StepLine]) -> str:
    waiting = [line for line in lines if line.step.state == Step.State.NEEDS_PERSON]
    if waiting:
        names = _(", ").join(line.place for line in waiting)
        needed = ngettext(
            "A person is needed in %(number)s place: %(names)s.",
            "A person is needed in %(number)s places: %(names)s.",
            len(waiting),
        )
        return needed % {"number": len(waiting), "names": names}
    if todo.waits_for_copy(request):
        return _(
            "The erasure waits until the person has fetched their copy. If the deadline comes near, decide whether it goes on without."
        )
    if any(line.step.reason == Reason.LEGAL_HOLD and line.step.state == Step.State.BLOCKED for line in lines):
        return _("A legal hold comes before the erasure. When it ends, the erasure goes on by itself.")
    if request.status == Status.COOLING_OFF and request.cooling_off_until:
        until = {"time": words.moment(request.cooling_off_until)}
        return _("Nothing to do. It starts by itself on %(time)s; until then the person can withdraw.") % until
    progress = plan.places_done(lines)
    if request.status == Status.PARTLY_COMPLETED:
        return (
            _("The answer is out. %(done)s of %(total)s places are done; the rest is tried again by itself.") % progress
        )
    silent = [line.place for line in lines if line.step.state == Step.State.BLOCKED]
    if silent:
        said = _("%(done)s of %(total)s places are done. Blocked, and tried again by itself: %(names)s.")
        return said % (progress | {"names": _(", ").join(silent)})
    return _("Nothing to do. Workers carry it out; %(done)s of %(total)s places are done.") % progress


def _sealed(request: PrivacyRequest, everywhere: bool) -> dict[str, Any]:
    """Open what the person wrote and, before an approval, count the plan; nothing once the record is erased."""
    try:
        return {
            "asked": selectors.asked_of(request),
            "note": selectors.note_of(request),
            "messages_of_request": selectors.messages_of(request),
            "scope": selectors.scope_of_request(request),
            "preview": _preview(request, everywhere),
            "has_outside_places": not everywhere,
        }
    except RecordErased:
        return {"is_erased": True}


def _preview(request: PrivacyRequest, everywhere: bool) -> plan.Preview | None:
    undecided = request.status in (Status.RECEIVED, Status.VERIFYING, Status.IN_REVIEW)
    return plan.preview(request, everywhere=everywhere) if undecided else None


def identity_context(request: PrivacyRequest) -> dict[str, Any]:
    """Return what the page about the identity shows."""
    return {
        "found": request,
        "kind": words.kind(request.kind),
        "regime": regime_of(request.regime),
        "right": regime_of(request.regime).right(request.kind),
        "identity": _identity(request),
        "person": _person(request),
    }


def _identity(request: PrivacyRequest) -> dict[str, Any]:
    """Return what was checked. What the person said of themselves is shown only while it is to be decided on."""
    undecided = request.status in (Status.RECEIVED, Status.VERIFYING, Status.IN_REVIEW)
    try:
        stated = selectors.stated_identity(request)
    except RecordErased:
        stated = {}
    return {
        "level": words.level(request.identity_level),
        "methods": [str(words.METHODS.get(name, name)) for name in stated.get("identity_methods", [])],
        "email": stated.get("email", "") if undecided else "",
        "name": stated.get("name", "") if undecided else "",
        "points": [
            (str(words.DATA_POINTS.get(name, name)), value) for name, value in stated.get("data_points", {}).items()
        ]
        if undecided
        else [],
        "wanted": words.level(regime_of(request.regime).right(request.kind).identity),
        "documents": list(request.evidence.filter(stored=True).order_by("created_at")),
        "destroyed_documents": request.evidence.filter(destroyed_at__isnull=False).count(),
    }


def _person(request: PrivacyRequest) -> dict[str, Any] | None:
    """Count what is known of the person, so that staff can compare without reading; None for nobody we know."""
    subject = Subject.objects.filter(pk=request.subject_id).first() if request.subject_id else None
    if subject is None:
        return None
    held = Conversation.objects.filter(subject=subject, erasing_at__isnull=True)
    figures = held.aggregate(number=Count("pk"), first=Min("started_at"), last=Max("updated_at"))
    others = selectors.my_requests(subject).exclude(pk=request.pk)
    return figures | {
        "has_account": subject.account_id is not None,
        "since": subject.created_at,
        "others": list(others[:10]),
    }


def _holds(request: PrivacyRequest) -> list[LegalHold]:
    return list(standing_holds(request.subject_id).order_by("until")) if request.subject_id else []
