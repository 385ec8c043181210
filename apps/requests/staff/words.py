"""How the staff's pages say things: badges, due dates, identity, what went wrong. A colour never stands alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.locations.reasons import Reason
from apps.requests import errors, labels
from apps.requests.models import ENDED, Kind, PrivacyRequest, Status, Step
from apps.requests.regimes import NONE, REASONABLE, REASONABLY_HIGH

# What a badge looks like (static/admin-habeas.css). Danger: a legal date has passed, or a proof is broken; nothing else.
PLAIN, INFO, OK, WARN, DANGER = "", "info", "ok", "warn", "danger"

STATUS_TONES = {Status.RUNNING: INFO, Status.COMPLETED: OK, Status.PARTLY_COMPLETED: WARN}
STEP_TONES = {
    Step.State.RUNNING: INFO,
    Step.State.DONE: OK,
    Step.State.BLOCKED: WARN,
    Step.State.NEEDS_PERSON: WARN,
}
STATUSES: dict[str, Promise] = labels.STATUSES | {Status.COOLING_OFF: gettext_lazy("Waiting, can be withdrawn")}
STEP_WORDS = {
    Step.State.PENDING: gettext_lazy("Waiting"),
    Step.State.RUNNING: gettext_lazy("Running"),
    Step.State.DONE: gettext_lazy("Done"),
    Step.State.BLOCKED: gettext_lazy("Blocked"),
    Step.State.NEEDS_PERSON: gettext_lazy("Needs a person"),
}
KINDS: dict[str, Promise] = {
    Kind.ACCESS: gettext_lazy("Access"),
    Kind.PORTABILITY: gettext_lazy("Portability"),
    Kind.ERASURE: gettext_lazy("Erasure"),
    Kind.RECTIFICATION: gettext_lazy("Rectification"),
    Kind.RESTRICTION: gettext_lazy("Restriction"),
}
LEVELS: dict[str, Promise] = {
    NONE: gettext_lazy("Not checked"),
    REASONABLE: gettext_lazy("Reasonable"),
    REASONABLY_HIGH: gettext_lazy("Reasonably high"),
}
METHODS: dict[str, Promise] = {
    "email_link": gettext_lazy("Link sent to the e-mail address"),
    "sign_in": gettext_lazy("Signed in and re-authenticated"),
    "data_points": gettext_lazy("Data compared with what we hold"),
    "document": gettext_lazy("Document"),
    "call_back": gettext_lazy("Called back on a number that we hold"),
    "signed_declaration": gettext_lazy("Signed declaration"),
}
DATA_POINTS: dict[str, Promise] = {
    "first_use": gettext_lazy("First used the service"),
    "conversation": gettext_lazy("One of their conversations"),
    "other": gettext_lazy("Something else"),
}
REASONS: dict[str, Promise] = {  # where staff need other words than the person
    Reason.WAITS_FOR_ARCHIVE: gettext_lazy("Waits until the person has fetched their copy"),
    Reason.DOUBTED: gettext_lazy(
        "An open rectification of this person calls wrong what this would be found by, so it may be somebody else's. It goes on when that one has ended"
    ),
    Reason.RESTRICTED: gettext_lazy("The use is restricted at the person's request; it goes on when that is lifted"),
}
OWN = gettext_lazy("This request is about you. Somebody else on the staff has to deal with it.")
WHAT_WENT_WRONG: dict[type[Exception], Promise] = {
    errors.WrongStatus: gettext_lazy("The request is not in a state any more that allows this. Look at it again."),
    errors.IdentityTooLow: gettext_lazy("Check the identity first: this right asks for more than has been checked."),
    errors.SamePerson: gettext_lazy("You gave the first approval. Somebody else has to give the second one."),
    errors.OwnRequest: OWN,
    errors.PlanChanged: gettext_lazy(
        "What the person is known by has changed since you looked at the plan. Look at it again, then decide."
    ),
    errors.ApproverLeft: gettext_lazy(
        "Whoever gave the first approval may not approve any more, so it is void. Somebody who reviews requests approves it "
        "anew; then a second person decides."
    ),
    errors.NoterLeft: gettext_lazy(
        "Whoever noted this may not any more, so it is taken back. Somebody who reviews requests notes it anew."
    ),
    errors.NothingNoted: gettext_lazy("This does not wait any more. Look at the page again."),
    errors.SecondApproverWanted: gettext_lazy("The second approval is for people with the role “approvers”."),
    errors.NoLocation: gettext_lazy("There is no place at all. Run “migrate”, which makes our own."),
    errors.UnknownGround: gettext_lazy("This law knows no such ground for a request of this kind."),
    errors.EmptyText: gettext_lazy("Write what the person will read."),
    errors.ErasureBegun: gettext_lazy("The erasure has begun. From there it only goes forward."),
    errors.TooLate: gettext_lazy("The first period is over: an extension had to be told inside it."),
    errors.AlreadyExtended: gettext_lazy("The deadline has been extended already. That can be done once."),
    errors.CorrectionsWanted: gettext_lazy("Say first for every place what is to be corrected there."),
    errors.FoundThereWanted: gettext_lazy(
        "Something the person is known by is called wrong, so it may find somebody else's data. Write what is found there, or have a person do it."
    ),
    errors.ErasureAgreed: gettext_lazy(
        "Somebody has agreed to an erasure of this person. Let it end first, or have it withdrawn, or refuse this request."
    ),
    errors.IdentityDoubted: gettext_lazy(
        "An open rectification of this person calls wrong what places outside know them by, so it may be somebody else's. Decide on that one first, and let it end."
    ),
    errors.OtherRestriction: gettext_lazy(
        "Another restriction of this person stands. Lift that one first, or refuse this one."
    ),
    errors.TooSoon: gettext_lazy("The person has to know before: choose a day after today."),
    errors.RecordErased: gettext_lazy("The record of this request is erased. Only dates are left."),
}


@dataclass(frozen=True)
class Badge:
    text: str
    tone: str = PLAIN


@dataclass(frozen=True)
class Due:
    """A deadline in words: the day, and how far off it is. `tone` is DANGER when it has passed without an answer."""

    day: str
    distance: str
    tone: str = PLAIN


def status_badge(request: PrivacyRequest) -> Badge:
    if request.status == Status.COOLING_OFF and request.cooling_off_until:
        return Badge(_("Waiting until %(time)s") % {"time": moment(request.cooling_off_until)})
    return Badge(str(STATUSES[request.status]), STATUS_TONES.get(Status(request.status), PLAIN))


def step_badge(step: Step) -> Badge:
    state = Step.State(step.state)
    tone = STEP_TONES.get(state, PLAIN)
    if state == Step.State.BLOCKED and step.until:
        return Badge(_("Blocked until %(day)s") % {"day": day(step.until)}, tone)
    return Badge(str(STEP_WORDS[state]), tone)


def due_words(request: PrivacyRequest, today: date) -> Due:
    """Say when the answer is due. One that is out, if only in part, is not late any more."""
    if request.status in ENDED:
        return Due(_("Ended"), day(timezone.localdate(request.ended_at)) if request.ended_at else "")
    if request.status == Status.PARTLY_COMPLETED:
        return Due(_("Answered in part"), _("was due %(day)s") % {"day": day(request.due_on)})
    return Due(day(request.due_on), distance(request.due_on, today), DANGER if request.due_on < today else PLAIN)


def distance(due_on: date, today: date) -> str:
    days = (due_on - today).days
    if days < 0:
        return ngettext("%(days)s day late", "%(days)s days late", -days) % {"days": -days}
    if days == 0:
        return _("today")
    return ngettext("in %(days)s day", "in %(days)s days", days) % {"days": days}


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago something was, in the largest unit that fits."""
    return _("%(span)s ago") % {"span": span(now - then)}


def span(length: timedelta) -> str:
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return ngettext("%(number)s second", "%(number)s seconds", seconds) % {"number": seconds}
    if seconds < 3600:
        return ngettext("%(number)s minute", "%(number)s minutes", seconds // 60) % {"number": seconds // 60}
    if seconds < 2 * 86_400:
        return ngettext("%(number)s hour", "%(number)s hours", seconds // 3600) % {"number": seconds // 3600}
    return ngettext("%(number)s day", "%(number)s days", seconds // 86_400) % {"number": seconds // 86_400}


def day(value: date) -> str:
    return date_format(value, "DATE_FORMAT")


def moment(value: datetime) -> str:
    return date_format(timezone.localtime(value), "DATETIME_FORMAT")


def kind(name: str) -> str:
    return str(KINDS.get(name, name))


def reason(name: str) -> str:
    """Say why something stands still; "" for no reason."""
    return str(REASONS.get(name) or (Reason(name).label if name in Reason.values else name))


def level(name: str) -> str:
    return str(LEVELS.get(name, name))


def what_went_wrong(error: Exception) -> str:
    """Say an error of the services in words that say what to do."""
    return str(WHAT_WENT_WRONG.get(type(error), _("This could not be done. Look at the request again.")))
