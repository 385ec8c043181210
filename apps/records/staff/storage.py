"""The page of the sweep: what the last comparison of storage and database found, and starting one that only reports."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from apps.records import tasks
from apps.records.models import Sweep
from apps.records.staff.frame import permitted, show

SHOWN = 14
WORDS = {
    "orphan": (
        gettext_lazy("Objects of ours that no row names"),
        gettext_lazy("Left by a crash. They can be removed."),
    ),
    "missing": (
        gettext_lazy("Objects that should be there and are not"),
        gettext_lazy("Something outside Habeas took them. Bring the storage back from its backup."),
    ),
    "unfinished": (gettext_lazy("Left by uploads that never ended"), gettext_lazy("They can be removed.")),
    "temporary": (gettext_lazy("Temporary files of a process that was killed"), gettext_lazy("They can be removed.")),
    "expired": (gettext_lazy("Archives whose time is over"), gettext_lazy("They go by themselves within the hour.")),
    "unknown": (
        gettext_lazy("Objects that cannot be attributed"),
        gettext_lazy("Not ours, as far as we can tell. They are never touched unless somebody says so."),
    ),
}


@require_safe
@permitted("records.view_sweep")
def show_sweeps(request: HttpRequest) -> HttpResponse:
    sweeps = list(Sweep.objects.order_by("-started_at")[:SHOWN])
    last = next((one for one in sweeps if one.finished_at), None)
    context = {
        "last": last,
        "badge": _badge(last) if last else None,
        "lines": _lines(last) if last else [],
        "earlier": [(one, _badge(one), _left(one)) for one in sweeps if one is not last],
        "may_run": request.user.has_perm("records.add_sweep"),
    }
    return show(request, "sweep", _("Storage"), context)


@require_POST
@permitted("records.add_sweep")
def start_sweep(request: HttpRequest) -> HttpResponseBase:
    """Let a worker compare now; it only reports."""
    if tasks.poke_sweep():
        messages.success(request, _("A worker compares now. Load this page again in a minute."))
    else:
        messages.warning(request, _("No worker could be told. Run “manage.py sweep” instead."))
    return redirect("admin:records_sweep_changelist")


def _lines(row: Sweep) -> list[dict[str, Any]]:
    return [
        {"name": name, "what": what, "count": row.counts[kind], "left": left}
        for kind, (name, what) in WORDS.items()
        if kind in row.counts and ((left := _left_of(row, kind)) or row.counts[kind]["found"] or kind == "missing")
    ]


def _left_of(row: Sweep, kind: str) -> int:
    count = row.counts[kind]
    return int(count["found"] - count["removed"])


def _left(row: Sweep) -> int:
    return sum(_left_of(row, kind) for kind in row.counts)


def _badge(row: Sweep) -> dict[str, str]:
    if row.finished_at is None:
        return {"text": _("Runs, or was broken off"), "tone": ""}
    if row.state != Sweep.State.DONE:
        return {"text": _("The storage did not answer to the end"), "tone": "warn"}
    if "missing" in row.counts and _left_of(row, "missing"):
        return {"text": _("Something is missing"), "tone": "danger"}
    return {"text": _("They differ"), "tone": "warn"} if _left(row) else {"text": _("They agree"), "tone": "ok"}
