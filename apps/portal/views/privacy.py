"""Data and privacy: what is held and where, who has looked, and what the person decides."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.accounts.access import ask_again, is_freshly_authenticated
from apps.accounts.models import User
from apps.audit import selectors as audit
from apps.audit.events import Event, Purpose
from apps.portal.access import person, person_page, posted
from apps.portal.forms import ChoicesForm
from apps.portal.places import held_places, own_retention
from apps.records import services
from apps.records.models import Subject
from apps.requests import selectors as requests
from apps.requests.moments import horizon_words, if_erased_now

SECTION = {"section": "privacy"}
LOOKS_SHOWN = 100


@require_GET
@person_page
def privacy(request: HttpRequest, subject: Subject) -> HttpResponse:
    return _page(request, subject, ChoicesForm(initial=_current(request.user, subject)))  # type: ignore[arg-type]


@posted("portal:privacy")
@person_page
def choices(request: HttpRequest, subject: Subject) -> HttpResponse:
    form = ChoicesForm(request.POST)
    if not form.is_valid():
        return _page(request, subject, form)
    chosen, actor = form.cleaned_data, person(request, subject)
    if _is_shorter(chosen["retention"], subject.retention_days) and not is_freshly_authenticated(request):
        return ask_again(request)  # the next night erases what is older
    services.set_recording(subject, chosen["recording"], actor=actor)
    services.set_opt_outs(subject, training=chosen["no_training"], sharing=chosen["no_sharing"], actor=actor)
    services.set_retention(subject, chosen["retention"], actor=actor)
    User.objects.filter(subject=subject).update(time_zone=chosen["time_zone"])
    messages.success(request, _("Your choices are saved. They take effect at once."))
    return redirect("portal:privacy")


def _is_shorter(days: int | None, before: int | None) -> bool:
    """Compare two choices of retention; without one the organisation's rule holds, which may be longer."""
    return days is not None and (before is None or days < before)


def _current(user: User, subject: Subject) -> dict[str, object]:
    return {
        "recording": subject.is_recording_allowed,
        "no_training": subject.opted_out_of_training,
        "no_sharing": subject.opted_out_of_sharing,
        "retention": subject.retention_days or "",
        "time_zone": user.time_zone,
    }


def _page(request: HttpRequest, subject: Subject, form: ChoicesForm) -> HttpResponse:
    handles = [subject.handle, *requests.my_requests(subject).values_list("handle", flat=True)]
    looks = audit.looks_at(*handles)
    context = SECTION | {
        "form": form,
        "subject": subject,
        "places": held_places(subject),
        "horizon": horizon_words(if_erased_now()),
        "counted_at": timezone.now(),
        "looks": [_look(look) for look in looks[:LOOKS_SHOWN]],
        "more_looks": max(0, len(looks) - LOOKS_SHOWN),
        "rule": own_retention(Subject(retention_days=None), "records"),
        "held_until": services.held_until(subject.pk),
        "open_requests": [one for one in requests.my_requests(subject) if one.ended_at is None],
        "archive_days": settings.ARCHIVE_LIFETIME_DAYS,
        "cooling_off_days": settings.ERASURE_COOLING_OFF_DAYS,
        "suppression_days": settings.SUPPRESSION_DAYS,
    }
    return render(request, "portal/privacy.html", context)


def _look(look: audit.Look) -> dict[str, object]:
    what = {
        Event.REQUEST_LOOKED_AT: _("A request of yours"),
        Event.SUBJECT_LOOKED_AT: _("Counts and dates"),
        Event.CONTENT_LOOKED_AT: _("Conversations"),
        Event.ARCHIVE_DELIVERED: _("An archive, to deliver it"),
        Event.LOCATION_TRIED: _("What a place holds of you, counted"),
    }
    why = Purpose(look.purpose).label if look.purpose in Purpose.values else ""
    return {"at": look.at, "role": look.role, "what": what.get(Event(look.event), ""), "why": why}
