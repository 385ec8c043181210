"""Views of what people do by hand: the open tasks, and one task with whom it is about, what was done, and proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from apps.locations.labels import staff_label
from apps.requests import selectors, services, task_files
from apps.requests.by_hand import assignment_of
from apps.requests.dates import today
from apps.requests.documents import Document
from apps.requests.errors import RecordErased, RequestError
from apps.requests.models import ENDED, PrivacyRequest, Step, Task, TaskFile
from apps.requests.services.deciding import is_about
from apps.requests.staff import words
from apps.requests.staff.pages import opened, permitted, show
from apps.requests.staff.todo import REVIEW
from apps.requests.vault import open_vault, task_words
from config.http import stream

MOST_SHOWN = 200
WANTED: dict[str, Promise] = {
    Step.Phase.COLLECT: gettext_lazy("Everything of the person that is there belongs into their copy."),
    Step.Phase.PURGE: gettext_lazy("Everything of the person that is there has to go."),
    Step.Phase.CORRECT: gettext_lazy("What the person asks for is corrected there, as far as it is right."),
    Step.Phase.RESTRICT: gettext_lazy(
        "What is there of the person is only stored from now on, and marked so that nobody uses it."
    ),
    Step.Phase.LIFT: gettext_lazy("The mark is taken away: what is there of the person may be used again."),
}


class ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files; cleaned to a list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=ManyFiles(), required=False, allow_empty_file=True, **options)

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        return [super(FilesField, self).clean(one, initial) for one in data or []]


class TaskForm(forms.Form):
    """What was done by hand."""

    note = forms.CharField(
        label=gettext_lazy("What was done"), max_length=4000, widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("As in: Folder 4711 shredded on 3 May, in the presence of Mr Brown. Also if nothing was there."),
    )  # fmt: skip
    item_count = forms.IntegerField(
        label=gettext_lazy("How many items there were"), min_value=0, max_value=2_000_000_000, initial=0,
        help_text=gettext_lazy("Folders, letters, cards: whatever is counted there. 0 for nothing."),
    )  # fmt: skip
    stays_until = forms.DateField(
        label=gettext_lazy("Something has to stay until"), required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The task comes back on that day, and the next receipt says so. Empty: nothing stays."),
    )  # fmt: skip
    copies = FilesField(label=gettext_lazy("Files for the person's copy"))
    proof = FilesField(label=gettext_lazy("Proof, as a photograph or a certificate"))

    def __init__(self, *args: Any, phase: str, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, phases in (("copies", (Step.Phase.COLLECT,)), ("stays_until", (Step.Phase.PURGE,))):
            if phase not in phases:
                del self.fields[name]
        if phase not in (Step.Phase.COLLECT, Step.Phase.PURGE):
            self.fields["note"].help_text = _("As in: card 4711 corrected on 3 May. Also if nothing was there.")

    def clean_stays_until(self) -> Any:
        day = self.cleaned_data["stays_until"]
        if day is not None and day <= today():
            raise forms.ValidationError(_("Write a day that is still to come."))
        return day


@dataclass(frozen=True)
class TaskLine:
    task: Task
    place: str
    person: str
    kind: str
    badge: words.Badge


@require_safe
@permitted()
def tasks(request: HttpRequest) -> HttpResponse:
    """List the open tasks, the late ones first."""
    found = Task.objects.filter(confirmed_at__isnull=True).exclude(request__status__in=ENDED)
    rows = found.select_related("request", "step__location").order_by("due_on")[:MOST_SHOWN]
    return show(request, "tasks", _("Tasks by hand"), {"lines": [_line(row) for row in rows]})


def _line(task: Task) -> TaskLine:
    late = (today() - task.due_on).days
    badge = words.Badge(words.distance(task.due_on, today()), words.WARN if late > 0 else words.PLAIN)
    place = staff_label(task.step.location) if task.step.location else ""
    return TaskLine(task, place, _words(task).get("person", ""), words.kind(task.request.kind), badge)


def _words(task: Task) -> dict[str, Any]:
    try:
        return task_words(task, open_vault(task.request))
    except RecordErased:
        return {}


@require_http_methods(["GET", "HEAD", "POST"])
@opened
def task(request: HttpRequest, found: PrivacyRequest, pk: UUID) -> HttpResponseBase:
    row = get_object_or_404(Task.objects.select_related("step__location"), pk=pk, request=found)
    user: Any = request.user
    may_confirm = user.has_perm(REVIEW) and row.confirmed_at is None and found.status not in ENDED
    may_confirm = may_confirm and not is_about(found, user)
    form = TaskForm(request.POST or None, request.FILES or None, phase=row.step.phase) if may_confirm else None
    if request.method == "POST" and form is not None and form.is_valid() and _confirm(request, row, form):
        return redirect("admin:requests_privacyrequest_change", found.reference)
    location = row.step.location
    context = {
        "found": found,
        "kind": words.kind(found.kind),
        "line": _line(row),
        "task": row,
        "words": _words(row),
        "instructions": assignment_of(location).instructions if location is not None else "",
        "asked": selectors.asked_of(found) if may_confirm else (),
        "wanted": WANTED.get(row.step.phase, ""),
        "known": selectors.identity_of_request(found).values if may_confirm else (),
        "files": [(file, task_files.describe_task_file(file).name) for file in row.files.filter(stored=True)],
        "form": form,
    }
    return show(request, "task", _("Task by hand") + f": {found.reference}", context)


def _confirm(request: HttpRequest, row: Task, form: TaskForm) -> bool:
    values = form.cleaned_data
    user: Any = request.user
    taken: list[TaskFile] = []
    try:
        for name, is_proof in (("copies", False), ("proof", True)):
            for file in values.get(name) or []:
                document = Document(file.name, file.content_type or "application/octet-stream")
                taken.append(task_files.take_task_file(row, document, file.chunks(), is_proof=is_proof))
        services.confirm_task(
            row, note=values["note"], item_count=values["item_count"], stays_until=values.get("stays_until"),
            files=taken, officer=user, actor=request.actor,  # type: ignore[attr-defined]
        )  # fmt: skip
    except RequestError as error:  # sent twice, perhaps: the files of the first count
        task_files.discard_task_files(taken)
        form.add_error(None, words.what_went_wrong(error))
        return False
    messages.success(request, _("Noted. The request goes on with it."))
    return True


@require_GET
@opened
def task_file(request: HttpRequest, found: PrivacyRequest, pk: UUID, file: UUID) -> HttpResponseBase:
    """Give a file of a task, under a name that says nothing."""
    user: Any = request.user
    row = get_object_or_404(Task, pk=pk, request=found).files.filter(pk=file, stored=True).first()
    if row is None or not user.has_perm(REVIEW):
        raise Http404
    name = f"{found.reference}-{'proof' if row.is_proof else 'file'}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return stream(task_files.read_task_file(row), content_type="application/octet-stream", headers=headers)
