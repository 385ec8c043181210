"""The front page of the staff site: what is late, what waits for me, what is stuck, and whether the log and workers live.

Every count stops at a limit, so that the page is as quick with a million requests as with ten. Also the frame around all
staff pages: navigation and stylesheet (UNFOLD in settings).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.audit import selectors as audit
from apps.audit.access import is_auditor
from apps.audit.events import Event
from apps.audit.models import Pending
from apps.locations.labels import horizon_words, staff_label, state_of
from apps.locations.models import Location
from apps.requests import schedule
from apps.requests.models import PrivacyRequest, Step
from apps.requests.staff import queue, words
from apps.requests.staff.todo import VIEW

LIST = "admin:requests_privacyrequest_changelist"
CARDS = ("soon", "identity", "review", "second", "person")
STEPS_COUNTED = 5_000
OLD, VERY_OLD = timedelta(hours=24), timedelta(hours=72)  # how long an entry may wait for the signature: amber, red
IDLE = timedelta(minutes=5)  # work that has been due for so long has nobody to do it
REQUESTS_LOOKED_AT = 20  # for the oldest step that is due


@dataclass(frozen=True)
class Card:
    """A number with its words, and the list behind it."""

    number: str
    label: str
    url: str
    is_alarm: bool = False

    @property
    def is_zero(self) -> bool:
        return self.number == "0"


@dataclass(frozen=True)
class PlaceLine:
    name: str
    url: str
    badge: words.Badge
    checked: str
    horizon: str
    open_steps: str


@dataclass(frozen=True)
class Fact:
    """A line about the machinery: what, how it is, and a badge when it should not be so."""

    name: str
    value: str
    badge: words.Badge | None = None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the admin's index what this person may see (DASHBOARD_CALLBACK)."""
    user: Any = request.user
    context["title"] = _("Privacy requests")
    if user.has_perm(VIEW):
        context |= {"overdue": _card("overdue", user, is_alarm=True), "cards": [_card(name, user) for name in CARDS]}
        context["mine"] = _card("unfinished", user, whose="mine")
    if user.has_perm("locations.view_location"):
        context["places"] = place_lines()
    if user.has_perm(VIEW) or user.has_perm("locations.view_location"):
        now = timezone.now()
        context |= {"proof": proof_facts(now), "work": work_facts(now)}
    context["may_statistics"] = user.has_perm(VIEW)
    return context


def _card(name: str, user: Any, *, is_alarm: bool = False, whose: str = "") -> Card:
    filters = queue.Filters(show=queue.SHOWS[name], whose=whose)
    number = queue.count(filters.select(user))
    shown = f"{queue.COUNTED:,}+" if number > queue.COUNTED else str(number)
    query = urlencode(filters.parameters())
    return Card(shown, str(filters.show.label), f"{reverse(LIST)}?{query}", is_alarm and number > 0)


def place_lines() -> list[PlaceLine]:
    """Return every place, those that do not answer first."""
    order = {False: 0, None: 1, True: 2}
    places = sorted(Location.objects.that_ever_held_data(), key=lambda place: (order[place.is_reachable], place.name))
    open_steps = _open_steps()
    return [_place_line(place, open_steps) for place in places]


def _open_steps() -> Counter[Any]:
    """Count the steps that are not done, for each place, as far as STEPS_COUNTED."""
    waiting = Step.objects.exclude(state=Step.State.DONE).filter(
        location__isnull=False, request__status__in=schedule.ACTIVE
    )
    return Counter(waiting.order_by().values_list("location_id", flat=True)[:STEPS_COUNTED])


def _place_line(place: Location, open_steps: Counter[Any]) -> PlaceLine:
    more = "+" if open_steps.total() >= STEPS_COUNTED else ""
    return PlaceLine(
        name=staff_label(place),
        url=reverse("admin:locations_location_change", args=[place.pk]),
        badge=words.Badge(*state_of(place)),
        checked=words.moment(place.checked_at) if place.checked_at else _("never"),
        horizon=horizon_words(place.horizon_days),
        open_steps=f"{open_steps[place.pk]}{more}",
    )


def proof_facts(now: datetime) -> list[Fact]:
    """Say how the log is: the newest checkpoint, and what waits for a signature."""
    newest = audit.latest_checkpoint()
    facts = []
    if newest is None:
        facts.append(Fact(_("Latest checkpoint"), _("none yet")))
    else:
        said = ngettext("%(size)s entry, signed %(ago)s", "%(size)s entries, signed %(ago)s", newest.size)
        values = {"size": f"{newest.size:,}", "ago": words.ago(newest.signed_at, now)}
        facts.append(Fact(_("Latest checkpoint"), said % values))
    waiting = Pending.objects.all()[: queue.COUNTED + 1].count()
    oldest = Pending.objects.order_by("entry_id").values_list("entry__created_at", flat=True).first()
    if oldest is None:
        facts.append(Fact(_("Not yet signed"), _("nothing")))
    else:
        number = f"{queue.COUNTED:,}+" if waiting > queue.COUNTED else str(waiting)
        said = ngettext("%(number)s entry, written %(ago)s", "%(number)s entries, the oldest written %(ago)s", waiting)
        values = {"number": number, "ago": words.ago(oldest, now)}
        facts.append(Fact(_("Not yet signed"), said % values, _lateness(now - oldest)))
    return facts


def _lateness(age: timedelta) -> words.Badge | None:
    if age <= audit.UNSIGNED_ALARM:
        return None
    if age > VERY_OLD:
        return words.Badge(_("Unsigned for more than 72 hours"), words.DANGER)
    return words.Badge(
        _("Unsigned for more than 24 hours") if age > OLD else _("Takes longer than 10 seconds"), words.WARN
    )


def work_facts(now: datetime) -> list[Fact]:
    """Say whether the work goes on: what runs, what was last done, and since when the oldest due step waits."""
    running = Step.objects.filter(state=Step.State.RUNNING, lease_until__gt=now)[: queue.COUNTED].count()
    last = audit.entries(event=Event.STEP_DONE).values_list("created_at", flat=True).first()
    facts = [
        Fact(_("Running now"), ngettext("%(number)s step", "%(number)s steps", running) % {"number": running}),
        Fact(_("Last step done"), words.ago(last, now) if last else _("none yet")),
    ]
    since = oldest_due(now)
    if since is None:
        return [*facts, Fact(_("Oldest step that is due"), _("none: nothing waits for a worker"))]
    badge = words.Badge(_("No worker takes it: is one running?"), words.WARN) if now - since > IDLE else None
    return [*facts, Fact(_("Oldest step that is due"), _("due since %(time)s") % {"time": words.moment(since)}, badge)]


def oldest_due(now: datetime) -> datetime | None:
    """Return since when a step could have been taken and was not; None when nothing is due."""
    request_ids = list(schedule.due_requests(now)[:REQUESTS_LOOKED_AT])
    requests = PrivacyRequest.objects.prefetch_related("steps__location", "approvals").in_bulk(request_ids)
    return min((since for found in requests.values() for since in _due_since(found, now)), default=None)


def _due_since(found: PrivacyRequest, now: datetime) -> list[datetime]:
    """Return when each due step became so: its next try, its lost lease, or what came before it in the request."""
    steps = list(found.steps.all())
    before = [step.ended_at for step in steps if step.ended_at] + [one.given_at for one in found.approvals.all()]
    if found.cooling_off_until:
        before.append(found.cooling_off_until)
    came = max((moment for moment in before if moment <= now), default=found.received_at)
    due = [step for step in steps if schedule.is_due(step, steps, found, now)]
    return [
        step.next_try_at or (step.lease_until if step.state == Step.State.RUNNING else None) or came for step in due
    ]


def stylesheet(request: HttpRequest) -> str:
    return static("admin-habeas.css")


def icon(request: HttpRequest) -> str:
    return static("icon.png")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side menu: only what this person may open."""
    user: Any = request.user
    items = [(_("Overview"), reverse("admin:index"), True)]
    items.append((_("Requests"), reverse(LIST), user.has_perm(VIEW)))
    items.append((_("Statistics"), reverse("admin:requests_privacyrequest_statistics"), user.has_perm(VIEW)))
    items.append(
        (_("Places"), reverse("admin:locations_location_changelist"), user.has_perm("locations.view_location"))
    )
    items.append(
        (_("Copies"), reverse("admin:records_copypolicy_changelist"), user.has_perm("records.view_copypolicy"))
    )
    items.append((_("Sources"), reverse("admin:records_source_changelist"), user.has_perm("records.view_source")))
    items.append((_("Storage"), reverse("admin:records_sweep_changelist"), user.has_perm("records.view_sweep")))
    items.append((_("Staff and roles"), reverse("admin:accounts_user_changelist"), user.has_perm("accounts.view_user")))
    items.append((_("Master keys"), reverse("admin:keys_epoch_changelist"), user.has_perm("keys.view_epoch")))
    items.append((_("Audit log"), reverse("audit:entries"), is_auditor(request)))
    shown = [{"title": title, "link": link, "active": _is_here(request, link)} for title, link, may in items if may]
    return [{"items": shown}]


def _is_here(request: HttpRequest, link: str) -> bool:
    longer = request.path.startswith(reverse("admin:requests_privacyrequest_statistics"))
    if link == reverse("admin:index"):
        return request.path == link
    return request.path.startswith(link) and not (longer and link == reverse(LIST))
