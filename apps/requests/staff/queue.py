"""Which requests a list shows, in which order, one page at a time.

Unfinished ones come by due date, the late ones first; those already answered in part wait behind them. Everything else
comes newest first. Pages are found by keyset and counts stop at COUNTED, so that both stay as quick with a million requests.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.records.models import LegalHold
from apps.requests.dates import today
from apps.requests.models import ENDED, Approval, PrivacyRequest, Status, Step

PAGE = 50
COUNTED = 1_000  # a card says "1,000+" rather than count on
SOON = timedelta(days=7)
SEPARATOR = "~"

Requests = QuerySet[PrivacyRequest]


@dataclass(frozen=True)
class Show:
    """A way to look at the queue."""

    name: str
    label: Promise
    select: Callable[[Requests, User], Requests]
    is_by_due_date: bool = True


def _unfinished(found: Requests) -> Requests:
    return found.filter(ended_at__isnull=True)  # said so that the index of the unfinished ones serves


def _unanswered(found: Requests) -> Requests:
    return _unfinished(found).exclude(status=Status.PARTLY_COMPLETED)


def _having(found: Requests, *, none: bool = False, **those: Any) -> Requests:
    """Keep the requests that have one of these rows (or none).

    A scalar subquery, not EXISTS: the database then looks row by row along the index and stops when the page is full,
    where it would otherwise join with every approval or step there ever was.
    """
    ((name, rows),) = those.items()
    first = Subquery(rows.filter(request=OuterRef("pk")).values("pk")[:1])
    return found.alias(**{name: first}).filter(**{f"{name}__isnull": none})


def _waits_for_second(found: Requests, user: User) -> Requests:
    """Those with one approval that is not mine: mine I cannot approve again."""
    given = _having(found.filter(status=Status.IN_REVIEW), given=Approval.objects.all())
    return _having(given, none=True, mine=Approval.objects.filter(officer=user))


def _waits_for_first(found: Requests, user: User) -> Requests:
    return _having(found.filter(status=Status.IN_REVIEW), none=True, given=Approval.objects.all())


def _needs_person(found: Requests, user: User) -> Requests:
    waiting = Step.objects.filter(state=Step.State.NEEDS_PERSON)
    return _having(_unfinished(found), waiting=waiting)


def _is_held(found: Requests, user: User) -> Requests:
    return _unfinished(found).filter(subject_id__in=LegalHold.objects.filter(until__gte=today()).values("subject_id"))


SHOWS: dict[str, Show] = {
    show.name: show
    for show in (
        Show("unfinished", _("Unfinished"), lambda found, user: _unfinished(found)),
        Show("overdue", _("Overdue"), lambda found, user: _unanswered(found).filter(due_on__lt=today())),
        Show(
            "soon",
            _("Due within 7 days"),
            lambda found, user: _unanswered(found).filter(due_on__gte=today(), due_on__lte=today() + SOON),
        ),
        Show(
            "identity",
            _("Identity to check"),
            lambda found, user: found.filter(status__in=(Status.RECEIVED, Status.VERIFYING)),
        ),
        Show("review", _("Waiting for review"), _waits_for_first),
        Show("second", _("Waiting for a second approver"), _waits_for_second),
        Show("person", _("Needs a person"), _needs_person),
        Show("held", _("Under a legal hold"), _is_held),
        Show("ended", _("Ended"), lambda found, user: found.filter(status__in=ENDED), is_by_due_date=False),
        Show("all", _("All"), lambda found, user: found, is_by_due_date=False),
    )
}
DEFAULT = SHOWS["unfinished"]


@dataclass(frozen=True)
class Filters:
    """What is asked for. `who`: the blind indexes of an e-mail address, in hex; never the address itself."""

    show: Show = DEFAULT
    whose: str = ""  # "", "mine", "nobody"
    status: str = ""
    kind: str = ""
    regime: str = ""
    place: UUID | None = None  # with an open step there
    who: str = ""

    def select(self, user: User) -> Requests:
        found = self.show.select(PrivacyRequest.objects.all(), user)
        exact = {"status": self.status, "kind": self.kind, "regime": self.regime}
        found = found.filter(**{name: value for name, value in exact.items() if value})
        if self.whose:
            found = found.filter(assigned_to=user) if self.whose == "mine" else found.filter(assigned_to=None)
        if self.place:
            open_there = Step.objects.filter(location=self.place).exclude(state=Step.State.DONE)
            found = _having(_unfinished(found), open_there=open_there)
        if self.who:
            found = found.filter(email_index__in=[binascii.unhexlify(index) for index in self.who.split("-")])
        return found

    def parameters(self) -> dict[str, str]:
        """Return the filters as the query of an address."""
        values = {"show": self.show.name if self.show is not DEFAULT else "", "place": str(self.place or "")}
        values |= {name: getattr(self, name) for name in ("whose", "status", "kind", "regime", "who")}
        return {name: value for name, value in values.items() if value}

    def showing(self, name: str, **values: Any) -> Filters:
        return replace(self, show=SHOWS[name], **values)


@dataclass(frozen=True)
class Progress:
    """How many of a request's places are done, and whether one needs a person."""

    done: int = 0
    total: int = 0
    needs_person: int = 0


@dataclass(frozen=True)
class Page:
    requests: list[PrivacyRequest]
    progress: dict[UUID, Progress]
    after: str  # where the next page begins; "" on the last one


def page_of(filters: Filters, user: User, after: str = "") -> Page:
    """Return the 50 requests after a place in the list; a place that cannot be read is the beginning."""
    found = filters.select(user).select_related("assigned_to").defer("sealed", "code_hash")
    rows = _by_due_date(found, after) if filters.show.is_by_due_date else _newest_first(found, after)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    return Page(rows, _progress(rows), _mark(rows[-1], filters) if more else "")


def count(found: Requests) -> int:
    """Count, up to one more than COUNTED."""
    return found.order_by()[: COUNTED + 1].count()


def _by_due_date(found: Requests, after: str) -> list[PrivacyRequest]:
    """First what waits for an answer, then what has been answered in part; one more than a page."""
    section, at, pk = _read_mark(after, parse_date)
    rows: list[PrivacyRequest] = []
    parts = (found.exclude(status=Status.PARTLY_COMPLETED), found.filter(status=Status.PARTLY_COMPLETED))
    for number, part in enumerate(parts):
        if number < section or len(rows) > PAGE:
            continue
        if number == section and at is not None:
            part = part.filter(Q(due_on=at, pk__gt=pk) | Q(due_on__gt=at), due_on__gte=at)
        rows += part.order_by("due_on", "pk")[: PAGE + 1 - len(rows)]
    return rows


def _newest_first(found: Requests, after: str) -> list[PrivacyRequest]:
    _section, at, pk = _read_mark(after, parse_datetime)
    if at is not None:
        found = found.filter(Q(received_at=at, pk__gt=pk) | Q(received_at__lt=at), received_at__lte=at)
    return list(found.order_by("-received_at", "pk")[: PAGE + 1])


def _mark(last: PrivacyRequest, filters: Filters) -> str:
    section = 1 if last.status == Status.PARTLY_COMPLETED else 0
    at = last.due_on if filters.show.is_by_due_date else last.received_at
    return SEPARATOR.join((str(section), at.isoformat(), last.pk.hex))


def _read_mark(mark: str, parse: Callable[[str], Any]) -> tuple[int, Any, UUID | None]:
    try:
        section, at, pk = mark.split(SEPARATOR)
        moment = parse(at)
        return int(section), moment.astimezone(UTC) if isinstance(moment, datetime) else moment, UUID(pk)
    except (ValueError, OverflowError):
        return 0, None, None


def _progress(rows: list[PrivacyRequest]) -> dict[UUID, Progress]:
    """Count the places of all rows in one query."""
    steps = Step.objects.filter(request__in=[row.pk for row in rows], location__isnull=False)
    counted = steps.order_by().values_list("request_id").annotate(
        done=Count("pk", filter=Q(state=Step.State.DONE)),
        total=Count("pk"),
        needs_person=Count("pk", filter=Q(state=Step.State.NEEDS_PERSON)),
    )  # fmt: skip
    return {request_id: Progress(done, total, person) for request_id, done, total, person in counted}
