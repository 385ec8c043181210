"""A person's requests: the list, one of them with where it stands, and what they can still do about it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.accounts.access import fresh_authentication_required
from apps.archives.errors import ArchiveGone
from apps.archives.http import archive_response
from apps.portal import story
from apps.portal.access import opened_by_code, person, person_page, posted
from apps.portal.forms import MessageForm
from apps.portal.middleware import with_own_script
from apps.records.models import Subject
from apps.records.subjects import subject_for
from apps.requests import selectors, services
from apps.requests.errors import ErasureBegun, RecordErased, WrongStatus
from apps.requests.models import CHANGES, ENDED, Intake, PrivacyRequest, Status
from apps.requests.regimes import regime_of

SECTION = {"section": "requests"}
MOVING = (Status.APPROVED, Status.RUNNING)


@require_GET
@person_page
def requests(request: HttpRequest, subject: Subject) -> HttpResponse:
    return render(request, "portal/requests.html", SECTION | {"rows": selectors.my_requests(subject)})


@require_GET
@never_cache
def show_request(request: HttpRequest, reference: str) -> HttpResponse:
    """The person's own request; or, with the receipt code, its status and receipt and nothing else."""
    if request.user.is_authenticated:
        own = selectors.my_request(subject_for(request.user), reference)
        if own is not None:
            return _show(request, own, is_own=True)
    opened = opened_by_code(request, reference)
    if isinstance(opened, PrivacyRequest):
        return _show(request, opened, is_own=False)
    if isinstance(opened, Intake):
        return render(request, "portal/waiting_intake.html", SECTION | {"intake": opened})
    if request.user.is_authenticated:
        raise Http404
    return redirect(f"{reverse('portal:find')}?{urlencode({'reference': reference})}")


@posted("portal:request")
@person_page
def send_message(request: HttpRequest, subject: Subject, reference: str) -> HttpResponse:
    own = own_request(subject, reference)
    form = MessageForm(request.POST)
    if not form.is_valid():
        return _show(request, own, is_own=True, form=form)
    try:
        services.send_message(own, form.cleaned_data["text"], actor=person(request, subject))
    except RecordErased:
        raise Http404 from None
    messages.success(request, _("Your message was sent."))
    return redirect("portal:request", own.reference)


@fresh_authentication_required
@person_page
def withdraw(request: HttpRequest, subject: Subject, reference: str) -> HttpResponse:
    own = own_request(subject, reference)
    if request.method != "POST":
        return render(request, "portal/withdraw.html", SECTION | {"pr": own})
    try:
        services.withdraw_request(own, actor=person(request, subject))
        messages.success(request, _("The request is withdrawn."))
    except (ErasureBegun, WrongStatus):
        messages.error(
            request, _("It is too late to withdraw: the work had begun to take effect. Nothing was changed.")
        )
    return redirect("portal:request", own.reference)


@posted("portal:request")
@fresh_authentication_required
@person_page
def do_not_wait(request: HttpRequest, subject: Subject, reference: str) -> HttpResponse:
    """Let an erasure go on although the copy has not been fetched."""
    own = own_request(subject, reference)
    try:
        services.waive_archive_first(own, actor=person(request, subject))
        messages.success(request, _("The erasure does not wait for your copy any more."))
    except WrongStatus:
        messages.error(request, _("It does not wait any more."))
    return redirect("portal:request", own.reference)


@fresh_authentication_required
@person_page
def download(request: HttpRequest, subject: Subject, reference: str, number: int = 1) -> HttpResponseBase:
    """Send the archive. A download that goes on after an interruption asks with Range and If-Range."""
    own = own_request(subject, reference)
    archive = selectors.archives_of(own).filter(number=number).first()
    if archive is None:
        raise Http404
    try:
        return archive_response(
            request, archive, actor=person(request, subject), filename=f"{own.reference}-{number}.zip"
        )
    except ArchiveGone:
        return render(request, "portal/archive_gone.html", SECTION | {"pr": own, "archive": archive}, status=410)


def own_request(subject: Subject, reference: str) -> PrivacyRequest:
    own = selectors.my_request(subject, reference)
    if own is None:
        raise Http404
    return own


def _show(request: HttpRequest, pr: PrivacyRequest, *, is_own: bool, form: MessageForm | None = None) -> HttpResponse:
    places = story.places_of(pr)
    regime = regime_of(pr.regime)
    ground = regime.ground(pr.ground, pr.kind) if pr.ground else None
    context: dict[str, Any] = SECTION | {
        "pr": pr,
        "is_own": is_own,
        "has_ended": pr.status in ENDED,
        "is_moving": pr.status in MOVING,
        "places": places,
        "places_done": sum(place.badge == "done" for place in places),
        "points": story.points_of(pr, places),
        "deadline": story.deadline_of(pr),
        "authority": regime.authority,
        "ground": ground,
        "ground_law": story.law_words(regime, ground.article) if ground else "",
        "regime": regime,
        "receipts": selectors.receipts_of(pr),
        "waits_for_archive": story.waits_for_archive(pr),
        "now_at": story.now(),
        "copy": story.copy_waited_for(pr),
        "was_overtaken": story.was_overtaken(pr),
        "waits_for_lift": story.waits_for_lift(pr),
        "is_change": pr.kind in CHANGES,
        "is_lifting": pr.lift_on is not None and pr.lifted_at is None,
    }
    if is_own:
        context |= {"form": form or MessageForm(), "archives": selectors.archives_of(pr)}
        context |= {"is_withdrawable": selectors.is_withdrawable(pr)} | _written(pr)
    return with_own_script(render(request, "portal/request.html", context))


def _written(pr: PrivacyRequest) -> dict[str, Any]:
    """Open note and messages; once the record's retention is over there is nothing to open."""
    try:
        return {"asked": selectors.asked_of(pr), "note": selectors.note_of(pr), "written": selectors.messages_of(pr)}
    except RecordErased:
        return {"is_erased": True}
