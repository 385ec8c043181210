"""The plan of a request, a line for every place: what would be read or erased before the approval, how far it is after."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.locations.contract import Obstacle
from apps.locations.labels import staff_label
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.requests.amending import can_by_itself
from apps.requests.corrections import HAND, VALUES, Correction, corrections_of
from apps.requests.counting import count_words, done_words
from apps.requests.labels import PHASES
from apps.requests.models import Kind, PrivacyRequest, Step, Task
from apps.requests.selectors import PlanRow, plan_preview
from apps.requests.staff import words
from apps.requests.staff.words import Badge
from apps.requests.vault import details_of

AMENDING = (Step.Phase.CORRECT, Step.Phase.RESTRICT, Step.Phase.LIFT)


@dataclass(frozen=True)
class PlanLine:
    """One place before the approval."""

    place: str
    badge: Badge
    found: str  # "214 conversations, 37 attachments"; "" when nothing was found or not counted
    is_counted: bool
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StepLine:
    """One step after the approval."""

    step: Step
    place: str
    badge: Badge
    done: str
    ended: str  # when; "" while it is not
    notes: list[str]
    is_place: bool
    can_be_retried: bool
    task: Task | None = None  # that a person has to do in this place, or has done


@dataclass(frozen=True)
class Preview:
    lines: list[PlanLine]
    counts: Counter[str]  # of all places
    is_complete: bool  # False: a place did not answer, is switched off, was not asked, or holds more than was counted
    places: int

    @property
    def total(self) -> str:
        return count_words(self.counts)


def preview(request: PrivacyRequest, *, everywhere: bool) -> Preview:
    """Count what is held. Our own places answer at once; the others are asked when `everywhere`, for they may be slow."""
    places = list(Location.objects.that_ever_held_data())
    asked = [place for place in places if everywhere or place.kind in settings.OWN_LOCATIONS]
    rows = dict(zip([place.pk for place in asked], plan_preview(request, asked), strict=True))
    ordered = sorted(places, key=lambda place: (place.kind not in settings.OWN_LOCATIONS, place.name))
    notes = change_notes(request, ordered)
    lines = [_line(place, rows.get(place.pk), notes.get(place.pk, [])) for place in ordered]
    counts: Counter[str] = Counter()
    for row in rows.values():
        counts.update(row.counts)
    is_complete = len(asked) == len(places) and all(row.is_complete and row.is_enabled for row in rows.values())
    return Preview(lines, counts, is_complete, len(places))


def change_notes(request: PrivacyRequest, places: list[Location]) -> dict[Any, list[str]]:
    """Say for a rectification or a restriction what is done in each place, and by whom."""
    if request.kind == Kind.RECTIFICATION:
        filled = corrections_of(details_of(request))
        return {place.pk: [_correction_words(filled.get(str(place.pk)))] for place in places}
    if request.kind == Kind.RESTRICTION:
        by_hand = _("It has no mark for this: a person sees to it, and confirms it.")
        return {place.pk: [by_hand] for place in places if not can_by_itself(place, Step.Phase.RESTRICT)}
    return {}


def _correction_words(one: Correction | None) -> str:
    if one is None:
        return _("Nobody has said yet what is corrected here.")
    if one.way == VALUES:
        number = len(one.changes)
        return ngettext("%(number)s value is corrected", "%(number)s values are corrected", number) % {"number": number}
    return _("A person corrects it by hand, and confirms it.") if one.way == HAND else _("Nothing is corrected here.")


def _line(place: Location, row: PlanRow | None, notes: list[str]) -> PlanLine:
    if row is None:
        return PlanLine(staff_label(place), Badge(_("Not counted on this page")), "", False, notes)
    if not row.is_enabled:
        disabled = [words.reason(Reason.DISABLED), *notes]
        return PlanLine(staff_label(place), Badge(_("Needs a person"), words.WARN), "", False, disabled)
    if row.trouble:
        return PlanLine(staff_label(place), Badge(_("Does not answer"), words.WARN), "", False, [row.trouble, *notes])
    if row.is_by_hand:
        said = [_("Not known yet: a person looks there."), words.reason(Reason.BY_HAND), *notes]
        return PlanLine(staff_label(place), Badge(_("Needs a person"), words.WARN), "", False, said)
    found = count_words(row.counts)
    if found and not row.is_complete:
        found = _("At least %(counted)s") % {"counted": found}
    badge = Badge(_("Counted"), words.OK) if row.is_complete else Badge(_("Counted in part"), words.WARN)
    obstacles = [_obstacle(obstacle) for obstacle in row.obstacles]
    return PlanLine(staff_label(place), badge, found, True, [*obstacles, *notes])


def _obstacle(obstacle: Obstacle) -> str:
    if obstacle.reason == Reason.BY_HAND:
        return words.reason(obstacle.reason)
    stays = ngettext("%(number)s item will stay", "%(number)s items will stay", obstacle.count)
    said = f"{stays % {'number': obstacle.count}}: {words.reason(obstacle.reason)}"
    return f"{said} ({words.day(obstacle.until)})" if obstacle.until else said


def act_words(request: PrivacyRequest, seen: Preview, *, is_last_yes: bool) -> str:
    """Say the act for its button: Approve and erase 214 conversations in 6 places."""
    held = {kind: number for kind, number in seen.counts.items() if kind.startswith("conversation")}
    places = ngettext("%(number)s place", "%(number)s places", seen.places) % {"number": seen.places}
    what = count_words(held) or seen.total or _("whatever is there")
    values = {"what": what, "places": places}
    if request.kind == Kind.RECTIFICATION:
        return _("Approve and correct it in %(places)s") % values
    if request.kind == Kind.RESTRICTION:
        return _("Approve and restrict the use in %(places)s") % values
    if request.kind != Kind.ERASURE:
        return _("Approve and collect %(what)s from %(places)s") % values
    if not is_last_yes:
        return _("Approve the erasure of %(what)s in %(places)s, as the first of two") % values
    return _("Approve and erase %(what)s in %(places)s") % values


def step_lines(request: PrivacyRequest, *, may_retry: bool) -> list[StepLine]:
    """Return the steps in the order in which they run."""
    steps = request.steps.select_related("location", "task").order_by("order", "location__name")
    return [_step_line(step, may_retry) for step in steps]


def _step_line(step: Step, may_retry: bool) -> StepLine:
    task: Task | None = getattr(step, "task", None)
    waits = step.state in (Step.State.BLOCKED, Step.State.NEEDS_PERSON)
    return StepLine(
        step=step,
        place=staff_label(step.location) if step.location else str(PHASES[step.phase]),
        badge=words.step_badge(step),
        done=_done(step),
        ended=words.moment(step.ended_at) if step.ended_at and step.state == Step.State.DONE else "",
        notes=_notes(step),
        is_place=step.location is not None,
        can_be_retried=may_retry and waits and (task is None or _could_by_itself(step, task)),
        task=task,
    )


def _could_by_itself(step: Step, task: Task) -> bool:
    """Say whether a place refused what a person was asked to do instead: it can be tried again."""
    return step.phase in AMENDING and step.reason != Reason.BY_HAND and task.confirmed_at is None


def _done(step: Step) -> str:
    if step.location is None:
        return ""
    if step.phase in AMENDING and not step.done_count:
        return _("Nothing had to be changed here") if step.state == Step.State.DONE else ""
    counted = done_words(step.counts, step.location.kind, step.done_count)
    if step.awaits_second_look:
        return counted or _("Nothing was erased here so far")
    return counted or (_("Nothing was held here") if step.state == Step.State.DONE else "")


def _notes(step: Step) -> list[str]:
    notes = []
    if step.state in (Step.State.BLOCKED, Step.State.NEEDS_PERSON) and step.reason:
        notes.append(words.reason(step.reason))
    if step.awaits_second_look:
        notes.append(_("To be looked at again, when every place was gone through"))
    if step.remaining:
        stays = ngettext("%(number)s item is still there", "%(number)s items are still there", step.remaining)
        notes.append(stays % {"number": step.remaining})
    if step.state in (Step.State.BLOCKED, Step.State.PENDING) and step.next_try_at:
        notes.append(_("Next try: %(time)s") % {"time": words.moment(step.next_try_at)})
    if step.attempts > 1:
        tries = ngettext("%(number)s try without progress", "%(number)s tries without progress", step.attempts)
        notes.append(tries % {"number": step.attempts})
    return notes


def places_done(lines: list[StepLine]) -> dict[str, Any]:
    places = [line for line in lines if line.is_place]
    return {"done": sum(line.step.state == Step.State.DONE for line in places), "total": len(places)}
