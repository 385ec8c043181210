"""Bringing conversations in: a file or pasted text, and how far the reading is."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.locations.errors import LocationError
from apps.portal.access import person, person_page
from apps.portal.forms import ImportForm
from apps.portal.middleware import with_own_script
from apps.records import selectors, services
from apps.records.errors import RecordingNotAllowed
from apps.records.models import Import, Subject
from apps.records.tasks import poke_import

SECTION = {"section": "conversations"}
ENDED = {Import.State.DONE, Import.State.FAILED}


@person_page
def import_page(request: HttpRequest, subject: Subject) -> HttpResponse:
    form = ImportForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            started = services.start_import(subject, _uploaded(form), actor=person(request, subject))
        except LocationError:
            form.add_error(
                None, _("There is no room to store the file at the moment. The fault is ours. Try again in an hour.")
            )
        except RecordingNotAllowed:
            return redirect("portal:import")  # the page says so
        else:
            transaction.on_commit(partial(poke_import, started.pk))
            return redirect("portal:import_progress", started.pk)
    context = SECTION | {"form": form, "subject": subject, "imports": selectors.imports_of(subject)}
    return render(request, "portal/import.html", context)


@require_GET
@person_page
def import_progress(request: HttpRequest, subject: Subject, pk: UUID) -> HttpResponse:
    item = selectors.import_of(subject, pk)
    context: dict[str, Any] = SECTION | {"item": item, "is_over": item.state in ENDED, "failure": _failure(item.reason)}
    return with_own_script(render(request, "portal/import_progress.html", context))


def _uploaded(form: ImportForm) -> UploadedFile:
    file: UploadedFile | None = form.cleaned_data["file"]
    if file is not None:
        return file
    text = form.cleaned_data["text"].encode("utf-8", "replace")
    return SimpleUploadedFile(_("Pasted text") + ".txt", text, "text/plain")


def _failure(reason: str) -> str:
    words = {
        "unreadable": _("We could not read this file. What we found in it stands below."),
        "nothing_found": _("There was no conversation in this file."),
        "too_large": _("This file is larger than we take."),
        "too_many_attempts": _("Reading it failed again and again. The privacy team has to look at it."),
        "frozen": _("Your erasure has begun, so nothing new is stored."),
        "not_allowed": _("You have switched off the keeping of conversations, or their use is restricted."),
        "storage_full": _("There was no room to store the file. The fault is ours. Try again in an hour."),
    }
    return words.get(reason, "")
