"""The pages of sources: which there are, one with its runs and what they could not take, adding one after a preview."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.access import fresh_authentication_required
from apps.locations.errors import LocationError
from apps.locations.models import Location
from apps.locations.paths import KIND
from apps.locations.reasons import Reason
from apps.records import tasks
from apps.records.importers import FORMATS
from apps.records.models import Source, SourceRun
from apps.records.sources import keeping, running
from apps.records.sources.files import kind_of
from apps.records.sources.reaching import missed_by_requests
from apps.records.staff.frame import permitted, show

RUNS_SHOWN = 30
SHOWN = 50  # rows and people of a report
LIST = "admin:records_source_changelist"
PAGE = "admin:records_source_change"
EVERY = [("hourly", gettext_lazy("Every hour")), ("daily", gettext_lazy("Every day"))]
COUNTS = {
    "conversations": gettext_lazy("conversations with something new"), "messages": gettext_lazy("messages"), "attachments": gettext_lazy("files"),
    "already_held": gettext_lazy("held already"), "skipped": gettext_lazy("not taken"), "unknown_people": gettext_lazy("people not known here"),
    "added_people": gettext_lazy("people added"), "withheld": gettext_lazy("left out because the person decided so"),
    "deleted_here": gettext_lazy("deleted here and not brought back"),
}  # fmt: skip


class SourceForm(forms.Form):
    """What every source has; what is special to a kind follows in TableForm or FolderForm."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    every = forms.ChoiceField(label=gettext_lazy("How often"), choices=EVERY, initial="daily")
    adds_people = forms.BooleanField(
        label=gettext_lazy("Add whoever is not known here as a person"), required=False,
        help_text=gettext_lazy("Otherwise they are counted and named in the report. Somebody who was erased here is added again if the other system still has them, or has them anew; not before their erasure is done in this place."),
    )  # fmt: skip

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if Source.objects.filter(name=name).exists():
            raise ValidationError(_("A source has this name already."))
        return name


def _column(label: Any, help_text: Any = "", *, required: bool = False) -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, max_length=120, required=required)


class TableForm(forms.Form):
    """A table or collection of messages."""

    table = _column(
        gettext_lazy("Table or collection"),
        gettext_lazy("With its schema, if it needs one, as in chat.messages"),
        required=True,
    )
    person = _column(gettext_lazy("Column of the person"), gettext_lazy("Whose conversation it is"), required=True)
    person_kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("What that column holds"), initial="email",
        help_text=gettext_lazy("The kind of identity, as in email, user_id or subject_id"),
    )  # fmt: skip
    conversation = _column(gettext_lazy("Column of the conversation"), required=True)
    text = _column(gettext_lazy("Column of the text"), required=True)
    role = _column(gettext_lazy("Column of who said it"))
    person_words = _column(gettext_lazy("Its values that mean the person"), gettext_lazy("With commas between; user, human and the like are known"))  # fmt: skip
    assistant_words = _column(gettext_lazy("Its values that mean the assistant"))
    time = _column(gettext_lazy("Column of the time"))
    id = _column(
        gettext_lazy("Column of the message's id"), gettext_lazy("Without it messages are told apart by their order")
    )
    title = _column(gettext_lazy("Column of the title"))
    zone = forms.CharField(
        label=gettext_lazy("Time zone"), initial="UTC", max_length=60, required=False,
        help_text=gettext_lazy("Of times that name none, as in UTC, Europe/Berlin or Asia/Shanghai"),
    )  # fmt: skip
    watermark = _column(
        gettext_lazy("Column by which new rows are found"),
        gettext_lazy("A time of change or a growing number. Without it everything is read each time."),
    )

    def clean_zone(self) -> str:
        name = str(self.cleaned_data["zone"]).strip() or "UTC"
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValidationError(_("There is no time zone of this name.")) from None


class FolderForm(forms.Form):
    """A watched folder or prefix."""

    folder = _column(gettext_lazy("Folder"), gettext_lazy("Below the root of the place; empty for all of it"))
    path = _column(
        gettext_lazy("How a path names the person"),
        gettext_lazy("As in {email}/ for a folder for each person, or {user_id}.json for a file. One placeholder."), required=True,
    )  # fmt: skip
    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=[(name, name) for name in FORMATS], initial="auto")

    def clean_path(self) -> str:
        path = str(self.cleaned_data["path"]).strip()
        if not kind_of(path) or ".." in path:
            raise ValidationError(_("Name the person once, as in {email}/"))
        return path

    def clean_folder(self) -> str:
        folder = str(self.cleaned_data["folder"]).strip().strip("/")
        if ".." in folder.split("/"):
            raise ValidationError(_("Write a path below the root."))
        return folder


class MetadataForm(forms.Form):
    """Chat completions that a provider keeps."""

    metadata_key = _column(
        gettext_lazy("Metadata key"),
        gettext_lazy("Under which your program writes whose completion it is, as in user_id"),
        required=True,
    )
    person_kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("What stands there"), initial="user_id",
        help_text=gettext_lazy("The kind of identity, as in email, user_id or subject_id"),
    )  # fmt: skip


class AssistantsForm(forms.Form):
    """The users of a messenger, and the assistants that they talk to."""

    assistants = forms.RegexField(
        r"^ *[0-9]{1,20}( *, *[0-9]{1,20})* *$", label=gettext_lazy("Ids of the assistants"), max_length=500,
        help_text=gettext_lazy("Numbers, with commas between. Only what people and these have written to each other comes in. The id of a group works as well."),
        error_messages={"invalid": gettext_lazy("Write numbers, with commas between.")},
    )  # fmt: skip
    person_kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("What the user id is here"), initial="lanying_user",
        help_text=gettext_lazy("The kind of identity under which people's Lanying ids are known, as in lanying_user or user_id"),
    )  # fmt: skip


MAPPINGS: dict[str, type[forms.Form]] = {
    "files": FolderForm,
    "s3": FolderForm,
    "gcs": FolderForm,
    "azure": FolderForm,
    "sftp": FolderForm,
    "openai": MetadataForm,
    "lanying": AssistantsForm,
}


class ChangeForm(forms.Form):
    every = forms.ChoiceField(label=gettext_lazy("How often"), choices=EVERY)
    adds_people = forms.BooleanField(label=gettext_lazy("Add whoever is not known here as a person"), required=False)


@require_safe
@permitted("records.view_source")
def show_sources(request: HttpRequest) -> HttpResponse:
    found = Source.objects.select_related("location").order_by("name")
    rows = [{"source": one, "every": dict(EVERY)[one.every], "last": _last(one)} for one in found]
    context = {"rows": rows, "may_add": request.user.has_perm("records.add_source")}
    return show(request, "sources", _("Sources"), context)


@permitted("records.add_source")
@fresh_authentication_required
def add_source(request: HttpRequest) -> HttpResponse:
    """First the place, then the mapping. It is saved when its first rows could be turned into messages."""
    places = Location.objects.filter(kind__in=list(settings.SOURCES), is_enabled=True, emptied_at=None).order_by("name")
    chosen = _as_id(request.GET.get("place"))
    location = places.filter(pk=chosen).first() if chosen else None
    if location is None:
        return show(request, "sources_place", _("Add a source"), {"places": places})
    kind = MAPPINGS.get(location.kind, TableForm)
    form, mapping = SourceForm(request.POST or None), kind(request.POST or None, prefix="map")
    context: dict[str, Any] = {"form": form, "mapping": mapping, "location": location}
    if request.method == "POST" and form.is_valid() & mapping.is_valid():
        trial = _try(location, mapping.cleaned_data, request)
        trial["missed"] = missed_by_requests(location, mapping.cleaned_data)
        if trial["lines"] and "try" not in request.POST:
            source = keeping.add_source(
                location=location, mapping=mapping.cleaned_data, actor=request.actor, **form.cleaned_data  # type: ignore[attr-defined]
            )  # fmt: skip
            tasks.poke_source(source.pk)
            messages.success(request, _("Saved. It is being read for the first time."))
            return redirect(PAGE, source.pk)
        context |= trial
    status = 400 if form.errors or mapping.errors else 200
    return show(request, "sources_add", _("Add a source"), context, status=status)


def _try(location: Location, mapping: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    try:
        lines, problems = keeping.preview(location, mapping, actor=request.actor)  # type: ignore[attr-defined]
    except LocationError as error:
        return {"lines": [], "problems": [error.said], "is_tried": True}
    return {"lines": lines, "problems": problems, "is_tried": True}


@require_safe
@permitted("records.view_source")
def show_source(request: HttpRequest, pk: UUID) -> HttpResponse:
    source = _found(pk)
    runs = list(source.runs.order_by("-started_at")[:RUNS_SHOWN])
    report = keeping.look_at_report(source, runs, actor=request.actor)  # type: ignore[attr-defined]
    context = {
        "source": source,
        "every": dict(EVERY)[source.every],
        "known_by": running.identity_kind(source),
        "mapping": [(name, value) for name, value in source.mapping.items() if value],
        "runs": [_run(run) for run in runs],
        "troubles": report["troubles"][:SHOWN],
        "unknown": report["unknown"][:SHOWN],
        "said": keeping.why_it_failed(runs),
        "missed": missed_by_requests(source.location, source.mapping),
        "change": ChangeForm(initial={"every": source.every, "adds_people": source.adds_people}),
        "may_change": request.user.has_perm("records.change_source"),
    }
    return show(request, "sources_one", source.name, context)


@require_POST
@permitted("records.change_source")
def act_on_source(request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
    """Read now, read everything again, change, stop, or go on."""
    source, actor = _found(pk), request.actor  # type: ignore[attr-defined]
    if act in ("read", "again"):
        keeping.read_now(source, from_the_beginning=act == "again")
        if source.location.is_enabled:
            messages.success(request, _("A worker begins within a minute."))
    elif act in ("stop", "start"):
        keeping.change_source(source, actor=actor, is_active=act == "start")
        messages.success(request, _("It is read again.") if act == "start" else _("It is not read any more."))
    elif act == "change":
        form = ChangeForm(request.POST)
        if form.is_valid():
            keeping.change_source(source, actor=actor, **form.cleaned_data)
            messages.success(request, _("Changed."))
    else:
        raise Http404
    tasks.poke_source(source.pk)
    return redirect(PAGE, pk)


def _found(pk: UUID) -> Source:
    return get_object_or_404(Source.objects.select_related("location"), pk=pk)


def _as_id(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _last(source: Source) -> dict[str, Any] | None:
    run = source.runs.order_by("-started_at").first()
    return _run(run) if run else None


def _run(run: SourceRun) -> dict[str, Any]:
    counted = [f"{words}: {run.counts[name]:,}" for name, words in COUNTS.items() if run.counts.get(name)]
    return {"run": run, "badge": _badge(run), "counts": ", ".join(counted) or _("nothing new")}


def _badge(run: SourceRun) -> dict[str, str]:
    if run.state == SourceRun.State.RUNNING:
        return {"text": _("Runs"), "tone": "info"}
    if run.state == SourceRun.State.FAILED:
        reason = Reason(run.reason).label if run.reason in Reason.values else _("Failed")
        return {"text": str(reason), "tone": "warn"}
    troubled = run.counts.get("skipped") or run.counts.get("unknown_people")
    return {"text": _("Not everything was taken"), "tone": "warn"} if troubled else {"text": _("Done"), "tone": "ok"}
