"""The letters to whoever does something by hand. They name the reference, the day and the place; never the person."""

from __future__ import annotations

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from apps.locations.contract import Assignment
from apps.locations.models import Location
from apps.mail import services as mail
from apps.requests.letters import TEMPLATE, day_words, page_url
from apps.requests.models import Task


def task_opened(task: Task, assignment: Assignment, *, place: Location | None) -> None:
    """Tell whoever does it by hand that there is something to do; the letter says nothing of whom it is about."""
    with translation.override(settings.LANGUAGE_CODE):
        values = _task_values(task, place)
        asked = _("%(person)s, please do this by %(due)s in: %(place)s.") % (values | {"person": assignment.person})
        how = _("Whom it is about and what to do stands on the page of the task. Staff note there what you did.")
        _to_helper(task, assignment, _("A task for request %(reference)s, until %(due)s") % values, [asked, how])


def task_reminder(task: Task, assignment: Assignment, *, place: Location | None, is_late: bool) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        values = _task_values(task, place)
        subject = _("The task for request %(reference)s is due soon")
        line = _("Please do it by %(due)s in: %(place)s.")
        if is_late:
            subject = _("The task for request %(reference)s is overdue")
            line = _("It had to be done by %(due)s in: %(place)s.")
        _to_helper(task, assignment, subject % values, [line % values])


def _task_values(task: Task, place: Location | None) -> dict[str, str]:
    return {"reference": task.request.reference, "due": day_words(task.due_on), "place": place.name if place else ""}


def _to_helper(task: Task, assignment: Assignment, subject: str, lines: list[str]) -> None:
    """Queue a letter that belongs to the task: it is nothing of the person's, and does not go with their account."""
    url = page_url("admin:requests_privacyrequest_task", task.request.reference, str(task.pk))
    written = {"subject": subject, "lines": lines, "doubt": "", "label": _("Open the task"), "url": url}
    mail.queue_letter(
        TEMPLATE, to=assignment.email, owner=task.pk, language=settings.LANGUAGE_CODE, context={"words": written}
    )
