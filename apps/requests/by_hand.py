"""What only a person can do in a place: the step waits with a task, and goes on with what staff have confirmed.

To the engine a place that only a person can reach is a connector like any other once its task is confirmed: `export` gives
the files that were added, `erase` counts what the person says they removed, and the second look is that record. Where a
place cannot correct or restrict by itself, amending.py asks for a person as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from apps.locations.contract import Assignment, Connector, DoneByHand, Entry, Identity, Progress, Remaining, Scope
from apps.locations.errors import Blocked
from apps.locations.models import Location
from apps.locations.paths import generated_name
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.requests import task_letters
from apps.requests.claims import Claim
from apps.requests.dates import today
from apps.requests.errors import WaitsForPerson
from apps.requests.models import Step, Task
from apps.requests.task_files import describe_task_file, read_task_file
from apps.requests.vault import seal_task

INDEX_NAME, INDEX_TYPE = "index.jsonl", "application/x-ndjson"
END = "end"
DAYS_OF_TEAM = 14  # for what a place cannot do by itself: well inside the month that the law gives


class Confirmed:
    """What a person has confirmed, as a place of its own."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each file with its line in index.jsonl. A cursor: how many files are done, or that all is."""
        if cursor == END:
            return
        done = int(cursor or 0)
        files = list(self._task.files.filter(is_proof=False, stored=True).order_by("created_at", "pk"))
        for number, row in enumerate(files[done:], done + 1):
            about = describe_task_file(row)
            name = generated_name(number, about.name)
            yield Entry(name, "application/octet-stream", read_task_file(row), str(number), count=1)
        if files:
            lines = [
                orjson.dumps(
                    {
                        "name": describe_task_file(row).name,
                        "file": generated_name(number, describe_task_file(row).name),
                    },
                    option=orjson.OPT_APPEND_NEWLINE,
                )
                for number, row in enumerate(files, 1)
            ]
            yield Entry(INDEX_NAME, INDEX_TYPE, lines, END, count=0)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        if self._task.stays_until is not None:
            raise Blocked(Reason.RETENTION_POLICY, self._task.stays_until)
        count = self._task.item_count
        if cursor != END:
            yield Progress(count, END, {"items": count} if count else {})

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        return Remaining(0)


def connector_of(claim: Claim, location: Location) -> Any:
    """Return the connector of the place of a claimed step; where a person has to act first, raises WaitsForPerson."""
    connector = connector_for(location)
    if not isinstance(connector, DoneByHand):
        return connector
    task = _task(claim, connector.assignment())
    if task.confirmed_at is None:
        raise WaitsForPerson(Reason.BY_HAND)
    return Confirmed(task)


def confirmed_task(step: Step) -> Task | None:
    """Return what a person has confirmed of this step, if somebody has."""
    return Task.objects.filter(step=step, confirmed_at__isnull=False).first()


def ask_person(claim: Claim, location: Location, reason: str = Reason.BY_HAND) -> NoReturn:
    """Give a person the task of doing this step, once, and let the step wait: raises WaitsForPerson."""
    _task(claim, assignment_of(location))
    raise WaitsForPerson(reason)


def assignment_of(location: Location) -> Assignment:
    """Return who acts in a place where a person has to: whom it names, else the privacy team."""
    connector = connector_for(location)
    if isinstance(connector, DoneByHand):
        return connector.assignment()
    with translation.override(settings.LANGUAGE_CODE):
        return Assignment(_("Privacy team"), settings.PRIVACY_CONTACT, DAYS_OF_TEAM, "")


def second_look_of(step: Step, location: Location) -> Connector | Confirmed:
    """Return whom the second look asks: the place, or what a person has confirmed of it."""
    task = confirmed_task(step)
    return Confirmed(task) if task is not None else connector_for(location)


def _task(claim: Claim, assignment: Assignment) -> Task:
    """Return the step's task; begun now, or once more when the day has come until which something had to stay."""
    due_on = today() + timedelta(days=assignment.days)
    with transaction.atomic():
        task = Task.objects.select_for_update().filter(step=claim.step).first()
        if task is None:
            task = Task(request=claim.request, step=claim.step, due_on=due_on)
        elif task.stays_until is None or task.stays_until > today():
            return task
        task.due_on, task.confirmed_at, task.stays_until, task.reminded_at = due_on, None, None, None
        task.sealed = seal_task(task, {"person": assignment.person, "note": ""}, claim.vault)
        task.save()
        task_letters.task_opened(task, assignment, place=claim.step.location)
    return task
