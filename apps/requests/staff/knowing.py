"""The page on which staff see what a person is known by, which places ask for what, and add what is wanting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.locations.labels import staff_label
from apps.locations.registry import kinds_asked_for
from apps.records.errors import IdentityTaken, RecordsError
from apps.requests import selectors, services
from apps.requests.errors import RequestError
from apps.requests.models import PrivacyRequest
from apps.requests.staff import words
from apps.requests.staff.forms import KnownByForm
from apps.requests.staff.pages import acting, page_of, show


@dataclass(frozen=True)
class KindLine:
    """A kind of identity: what is known of the person, and which places ask for it."""

    kind: str
    values: list[str]
    places: list[str]

    @property
    def is_wanting(self) -> bool:
        return bool(self.places) and not self.values


def kind_lines(request: PrivacyRequest) -> list[KindLine]:
    """Return every kind that is known of the person or asked for by a place, those that are wanting first."""
    known: dict[str, list[str]] = {}
    for kind, value in selectors.identity_of_request(request).values:
        known.setdefault(kind, []).append(value)
    asked = {
        kind: sorted(map(staff_label, places)) for kind, places in kinds_asked_for().items() if kind != "subject_id"
    }
    lines = [KindLine(kind, known.get(kind, []), asked.get(kind, [])) for kind in sorted({*known, *asked})]
    return sorted(lines, key=lambda line: not line.is_wanting)


@require_http_methods(["GET", "HEAD", "POST"])
@acting("known_by")
def known_by(request: HttpRequest, found: PrivacyRequest) -> HttpResponseBase:
    form = KnownByForm(request.POST or None)
    if form.is_valid() and _note(request, found, form):
        return redirect(f"{page_of(found)}known-by/")
    context: dict[str, Any] = {
        "found": found,
        "kind": words.kind(found.kind),
        "lines": kind_lines(found),
        "form": form,
    }
    return show(request, "known_by", f"{_('What the person is known by')}: {found.reference}", context)


def _note(request: HttpRequest, found: PrivacyRequest, form: KnownByForm) -> bool:
    kind, value = form.cleaned_data["kind"], form.cleaned_data["value"]
    try:
        services.note_identity(found, kind, value, actor=request.actor)  # type: ignore[attr-defined]
    except IdentityTaken:
        form.add_error("value", _("Somebody else is known by this. Look whether it is the right person."))
    except (RequestError, RecordsError):
        form.add_error(None, _("The request has ended meanwhile. Nothing was added."))
    else:
        messages.success(request, _("Added. Every place that knows people by it is asked with it from now on."))
        return True
    return False
