"""The page on which staff see what a person is known by, which places ask for what, and add what is wanting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.access import fresh_authentication_required
from apps.accounts.models import User
from apps.locations.labels import staff_label
from apps.locations.registry import kinds_asked_for
from apps.records.errors import IdentityTaken, RecordsError
from apps.requests import selectors, services
from apps.requests.errors import RequestError, SamePerson
from apps.requests.models import PrivacyRequest, Status
from apps.requests.services.knowing import UNCONFIRMED
from apps.requests.staff import todo, words
from apps.requests.staff.forms import KnownByForm
from apps.requests.staff.pages import acting, page_of, show
from apps.requests.vault import details_of


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


@dataclass(frozen=True)
class Noted:
    """What was noted of a person whose erasure was let go before; another one says yes to it, or nobody."""

    kind: str
    value: str
    is_own: bool


@require_http_methods(["GET", "HEAD", "POST"])
@acting("known_by")
@fresh_authentication_required
def known_by(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    form = KnownByForm(request.POST or None)
    if form.is_valid() and _note(request, found, form):
        return redirect(f"{page_of(found)}known-by/")
    return _show(request, found, form)


@require_http_methods(["GET", "HEAD", "POST"])
@acting("known_by", "confirm_known_by")
@fresh_authentication_required
def confirm_known_by(request: HttpRequest, found: PrivacyRequest) -> HttpResponse:
    """Show what waits for a second person; take their yes, or take it back."""
    if request.method != "POST":
        return _show(request, found, None)
    says_yes = request.POST.get("answer") == "yes"
    if says_yes and not cast(User, request.user).has_perm(todo.SECOND):
        raise PermissionDenied
    return _answer(request, found, says_yes)


def _show(request: HttpRequest, found: PrivacyRequest, form: KnownByForm | None) -> HttpResponse:
    user = cast(User, request.user)
    waiting = details_of(found).get(UNCONFIRMED, [])
    context: dict[str, Any] = {
        "found": found,
        "kind": words.kind(found.kind),
        "lines": kind_lines(found),
        "noted": [Noted(kind, value, by == str(user.pk)) for kind, value, by in waiting],
        "may_confirm": user.has_perm(todo.SECOND),
        "takes_two": services.was_let_go(found),
        "form": form,
    }
    return show(request, "known_by", _("What the person is known by") + f": {found.reference}", context)


def _note(request: HttpRequest, found: PrivacyRequest, form: KnownByForm) -> bool:
    kind, value = form.cleaned_data["kind"], form.cleaned_data["value"]
    approvals = found.approvals.count() if found.status == Status.IN_REVIEW else 0
    try:
        is_known = services.note_identity(
            found,
            kind,
            value,
            officer=cast(User, request.user),
            actor=request.actor,  # type: ignore[attr-defined]
        )
    except IdentityTaken:
        form.add_error("value", _("Somebody else is known by this. Look whether it is the right person."))
        return False
    except (RequestError, RecordsError):
        form.add_error(None, _("The request has ended meanwhile. Nothing was added."))
        return False
    if not is_known:
        messages.success(request, _("Noted. No place is asked with it before another person has confirmed it."))
        return True
    messages.success(request, _("Added. Every place that knows people by it is asked with it from now on."))
    if approvals and not found.approvals.exists():
        messages.warning(request, _("The approval given so far was without it, and is void. Both decide again."))
    return True


def _answer(request: HttpRequest, found: PrivacyRequest, says_yes: bool) -> HttpResponse:
    user, actor = cast(User, request.user), request.actor  # type: ignore[attr-defined]
    kind, value = request.POST.get("kind", ""), request.POST.get("value", "")
    try:
        if says_yes:
            services.confirm_noted(found, kind, value, officer=user, actor=actor)
        else:
            services.drop_noted(found, kind, value, actor=actor)
    except SamePerson:
        messages.error(request, _("You noted this. Somebody else has to confirm it."))
    except IdentityTaken:
        messages.error(request, _("Somebody else is known by this. Look whether it is the right person."))
    except (RequestError, RecordsError) as error:
        messages.error(request, words.what_went_wrong(error))
    else:
        messages.success(request, _("Confirmed. Every place is asked with it.") if says_yes else _("Taken back."))
    return redirect(page_of(found))
