"""The pages of the rules for copies: which there are, one with its runs, adding one after a trial, and the acts."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.access import fresh_authentication_required
from apps.locations.errors import LocationError
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.registry import connector_for
from apps.locations.services import check_location
from apps.locations.stores import store_for, try_out, words_of_trial
from apps.records import tasks
from apps.records.copies import policies
from apps.records.copies.restoring import is_restoring
from apps.records.errors import NotProposed, SecondPersonWanted, SubjectNotFound
from apps.records.models import Copy, CopyPolicy, CopyRun
from apps.records.staff.frame import permitted, show
from apps.records.subjects import find_subject

RUNS_SHOWN = 30
LIST = "admin:records_copypolicy_changelist"
PAGE = "admin:records_copypolicy_change"
FORMS = [
    ("sealed", gettext_lazy("Sealed: nobody can read them but Habeas, and erasing a conversation makes its copies unreadable at once")),
    ("json", gettext_lazy("Readable, as JSON in the shape of a ChatGPT export")),
    ("txt", gettext_lazy("Readable, as text")),
    ("csv", gettext_lazy("Readable, as a table (CSV)")),
]  # fmt: skip
FORM_WORDS = {"sealed": gettext_lazy("Sealed"), "json": gettext_lazy("Readable, JSON"), "txt": gettext_lazy("Readable, text"), "csv": gettext_lazy("Readable, CSV")}  # fmt: skip
EVERY = [("hourly", gettext_lazy("Every hour")), ("daily", gettext_lazy("Every day"))]
KINDS = {"copy": gettext_lazy("Copied"), "check": gettext_lazy("Read again"), "restore": gettext_lazy("Restored")}
COUNTS = {
    "written": gettext_lazy("written"), "skipped": gettext_lazy("changed meanwhile"), "failed": gettext_lazy("failed"), "ok": gettext_lazy("as they should be"),
    "missing": gettext_lazy("missing"), "changed": gettext_lazy("damaged"), "restored": gettext_lazy("restored"), "already_held": gettext_lazy("there already"),
    "shut": gettext_lazy("stay shut, as their keys are gone"),
}  # fmt: skip
_TARGET = re.compile(r"[a-z][a-z0-9_]{0,62}")


class RuleForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=120,
        help_text=gettext_lazy("People read it on their pages and receipts, as in: Backup copies, Amazon S3"),
    )  # fmt: skip
    country = forms.CharField(
        label=gettext_lazy("Country"), max_length=80, required=False,
        help_text=gettext_lazy("Empty: that of the place they go to."),
    )  # fmt: skip
    destination = forms.ModelChoiceField(
        Location.objects.none(), label=gettext_lazy("Where to"), empty_label=None,
        help_text=gettext_lazy("A place of files, a bucket, an SFTP server, a SQL database or MongoDB. Add it under Places first."),
    )  # fmt: skip
    target = forms.CharField(
        label=gettext_lazy("Folder, table or collection"), max_length=63, initial="habeas_copies",
        help_text=gettext_lazy("For these copies alone; made when it is not there. Small letters, digits and _."),
    )  # fmt: skip
    form = forms.ChoiceField(
        label=gettext_lazy("In which form"), choices=FORMS, initial="sealed", widget=forms.RadioSelect
    )
    understood = forms.BooleanField(
        label=gettext_lazy("I understand that anybody who gets at the place can read readable copies"), required=False
    )
    every = forms.ChoiceField(label=gettext_lazy("How often"), choices=EVERY, initial="daily")
    check_days = forms.IntegerField(
        label=gettext_lazy("Read again and compare every … days"), min_value=0, max_value=365, initial=7,
        help_text=gettext_lazy("0: never. What is missing or damaged is written anew."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Location.objects.filter(kind__in=list(settings.STORES), is_enabled=True, emptied_at=None)
        self.fields["destination"].queryset = places.order_by("name")  # type: ignore[attr-defined]
        self.fields["destination"].label_from_instance = lambda place: place.name  # type: ignore[attr-defined]

    def clean_target(self) -> str:
        target = str(self.cleaned_data["target"])
        if not _TARGET.fullmatch(target):
            raise ValidationError(_("Write small letters, digits and _, beginning with a letter."))
        return target

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if Location.objects.filter(name=name).exists():
            raise ValidationError(_("A place has this name already."))
        return name

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or {})
        if data.get("form") != CopyPolicy.Form.SEALED and not data.get("understood"):
            self.add_error("understood", _("Readable copies are not protected. Tick this, or choose sealed ones."))
        if CopyPolicy.objects.filter(destination=data.get("destination"), target=data.get("target")).exists():
            self.add_error("target", _("Another rule writes there."))
        return data


class ChangeForm(forms.Form):
    every = forms.ChoiceField(label=gettext_lazy("How often"), choices=EVERY)
    check_days = forms.IntegerField(
        label=gettext_lazy("Read again and compare every … days"), min_value=0, max_value=365
    )


class RestoreForm(forms.Form):
    person = forms.CharField(
        label=gettext_lazy("Of whom"), max_length=254, required=False,
        help_text=gettext_lazy("Exact e-mail address or id. Empty: everybody's."),
    )  # fmt: skip


@require_safe
@permitted("records.view_copypolicy")
def show_rules(request: HttpRequest) -> HttpResponse:
    found = CopyPolicy.objects.select_related("location", "destination").order_by("location__name")
    rows = [
        {"policy": one, "form": FORM_WORDS[one.form], "every": dict(EVERY)[one.every], "is_on": _is_on(one)}
        | state_of(one)
        for one in found
    ]
    return show(
        request, "copies", _("Copies"), {"rows": rows, "may_add": request.user.has_perm("records.add_copypolicy")}
    )


@permitted("records.add_copypolicy")
@fresh_authentication_required
def add_rule(request: HttpRequest) -> HttpResponse:
    """Take the form of a rule; it is saved when a trial in the place went well."""
    form = RuleForm(request.POST or None)
    trial: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        trial = _try(form.cleaned_data)
        if trial["is_well"] and "try" not in request.POST:
            given = {name: value for name, value in form.cleaned_data.items() if name != "understood"}
            try:
                policy = policies.add_policy(**given, officer=_user_id(request), actor=request.actor)  # type: ignore[attr-defined]
            except IntegrityError:
                form.add_error("name", _("A place has this name already."))
            else:
                check_location(policy.location, actor=request.actor)  # type: ignore[attr-defined]
                tasks.poke_copies(policy.pk)
                messages.success(request, _("Proposed. Nothing is copied before another person has agreed.") if policy.is_readable else _("Saved. The first copies are being written."))  # fmt: skip
                return redirect(PAGE, policy.pk)
    has_places = form.fields["destination"].queryset.exists()  # type: ignore[attr-defined]
    status = 400 if form.errors else 200
    return show(
        request,
        "copies_add",
        _("Add a rule for copies"),
        {"form": form, "trial": trial, "has_places": has_places},
        status=status,
    )


def _try(data: dict[str, Any]) -> dict[str, Any]:
    """Write, read and delete something small where the copies would go, and say what would keep them from being erased."""
    destination, is_readable = data["destination"], data["form"] != CopyPolicy.Form.SEALED
    try:
        lets_go = try_out(store_for(destination, data["target"], is_text=is_readable))
        health = connector_for(destination).check()
    except LocationError as error:
        return {"is_well": False, "message": error.said}
    if lets_go:
        more = ""
    elif is_readable:
        more = _("Readable copies have to go with what they are of: choose another place, or sealed ones.")
    else:
        more = _("Sealed ones are unreadable as soon as their conversation is erased.")
    return {
        "is_well": lets_go or not is_readable,
        "message": f"{words_of_trial(lets_go)} {more}".strip(),
        "problems": health.problems,
    }


@require_safe
@permitted("records.view_copypolicy")
def show_rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _page(request, _found(pk), RestoreForm())


def _page(request: HttpRequest, policy: CopyPolicy, restore: RestoreForm, *, status: int = 200) -> HttpResponse:
    context = {
        "policy": policy,
        "form_words": FORM_WORDS[policy.form],
        "every": dict(EVERY)[policy.every],
        "change": ChangeForm(initial={"every": policy.every, "check_days": policy.check_days}),
        "restore": restore,
        "runs": [_run(run) for run in policy.runs.order_by("-started_at")[:RUNS_SHOWN]],
        "may_change": request.user.has_perm("records.change_copypolicy"),
        "may_approve": request.user.has_perm("records.approve_copypolicy"),
        "is_own": policy.proposed_by == _user_id(request),
        "is_on": _is_on(policy),
    } | state_of(policy)
    return show(request, "copies_rule", policy.location.name, context, status=status)


@require_POST
@permitted("records.change_copypolicy")
@fresh_authentication_required
def act_on_rule(request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
    """Copy now, read again now, change the times, stop, go on, or stop and delete every copy."""
    policy, actor = _found(pk), request.actor  # type: ignore[attr-defined]
    if act in ("copy", "check"):
        policies.copy_now(policy, check=act == "check")
        if _is_on(policy):
            messages.success(request, _("A worker begins within a minute."))
    elif act == "start":
        policies.change_policy(policy, actor=actor, officer=_user_id(request), is_active=True)
        messages.success(request, _("Proposed. Nothing is copied before another person has agreed.") if policy.is_readable else _("Copies are made again."))  # fmt: skip
    elif act == "stop":
        policies.change_policy(policy, actor=actor, is_active=False)
        messages.success(request, _("Nothing more is copied. What is there stays, and is erased with what it is of."))
    elif act == "end":
        count = policies.end_policy(policy, actor=actor)
        words = ngettext("%(count)s copy is being deleted.", "%(count)s copies are being deleted.", count)
        messages.success(request, words % {"count": count})
    elif act == "times":
        form = ChangeForm(request.POST)
        if form.is_valid():
            policies.change_policy(policy, actor=actor, **form.cleaned_data)
            messages.success(request, _("Changed."))
    else:
        raise Http404
    tasks.poke_copies(policy.pk)
    return redirect(PAGE, pk)


@require_POST
@permitted("records.approve_copypolicy")
@fresh_authentication_required
def approve_rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take the second person's yes to readable copies."""
    policy = _found(pk)
    try:
        policies.approve_policy(policy, officer=_user_id(request), actor=request.actor)  # type: ignore[attr-defined]
    except SecondPersonWanted:
        messages.error(request, _("You proposed this. Somebody else has to agree."))
    except NotProposed:
        messages.error(request, _("This is not proposed any more, or by nobody who may. Look at the page again."))
    else:
        tasks.poke_copies(policy.pk)
        messages.success(request, _("Agreed. The first readable copies are being written."))
    return redirect(PAGE, pk)


def _user_id(request: HttpRequest) -> UUID:
    user: Any = request.user
    return UUID(str(user.pk))


@require_POST
@permitted("records.change_copypolicy")
@fresh_authentication_required
def restore_rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have a worker restore everything, or what one person had."""
    policy, form = _found(pk), RestoreForm(request.POST)
    subject_id = None
    if form.is_valid() and form.cleaned_data["person"]:
        try:
            subject_id = find_subject(form.cleaned_data["person"]).pk
        except SubjectNotFound:
            form.add_error("person", _("Nobody is known by this address or id."))
    if policy.is_readable or not form.is_valid():
        return _page(request, policy, form, status=400)
    if is_restoring(policy):
        messages.warning(request, _("A worker restores from this rule already. Wait until it has ended."))
    elif tasks.poke_restore(policy.pk, subject_id=subject_id):
        messages.success(request, _("A worker restores now. Load this page again in a minute."))
    else:
        messages.warning(request, _("No worker could be told. Run “manage.py restore_copies” instead."))
    return redirect(PAGE, pk)


def _is_on(policy: CopyPolicy) -> bool:
    """Say whether neither where it writes nor the place that stands for its copies is switched off."""
    return policy.destination.is_enabled and policy.location.is_enabled


def _found(pk: UUID) -> CopyPolicy:
    return get_object_or_404(CopyPolicy.objects.select_related("location", "destination"), pk=pk)


def state_of(policy: CopyPolicy) -> dict[str, Any]:
    """Say how the copies of a rule are: how many, the last run and the last reading, and what waits to be deleted."""
    last = {kind: _last(policy, kind) for kind in (CopyRun.Kind.COPY, CopyRun.Kind.CHECK)}
    waiting, (held, held_until) = policies.waiting_to_go(policy), policies.held_back(policy)
    return {
        "copies": Copy.objects.filter(policy=policy, stored=True, doomed_at=None).count(),
        "waiting": waiting,
        "held": held,
        "held_until": held_until,
        "is_tried": waiting > held,
        "copied": last[CopyRun.Kind.COPY],
        "checked": last[CopyRun.Kind.CHECK],
    }


def _last(policy: CopyPolicy, kind: CopyRun.Kind) -> dict[str, Any] | None:
    run = CopyRun.objects.filter(policy=policy, kind=kind).order_by("-started_at").first()
    return _run(run) if run else None


def _run(run: CopyRun) -> dict[str, Any]:
    counted = [f"{words}: {run.counts[name]:,}" for name, words in COUNTS.items() if run.counts.get(name)]
    return {
        "run": run,
        "kind": KINDS[run.kind],
        "badge": _badge(run),
        "counts": ", ".join(counted) or _("nothing to do"),
    }


def _badge(run: CopyRun) -> dict[str, str]:
    if run.state == CopyRun.State.RUNNING:
        return {"text": _("Runs"), "tone": "info"}
    if run.state == CopyRun.State.FAILED:
        reason = Reason(run.reason).label if run.reason in Reason.values else _("Failed")
        return {"text": str(reason), "tone": "warn"}
    troubled = any(run.counts.get(name) for name in ("failed", "missing", "changed"))
    return {"text": _("Not all well"), "tone": "warn"} if troubled else {"text": _("Done"), "tone": "ok"}
