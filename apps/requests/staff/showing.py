"""Views of one request: the purpose first, then the page; its documents, proofs and receipts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.audit import selectors as audit
from apps.audit.errors import NotSigned
from apps.audit.events import Purpose
from apps.audit.models import Entry
from apps.audit.proofs import FILE_EXTENSION
from apps.keys.errors import KeyDestroyed
from apps.requests import selectors, services
from apps.requests.errors import RecordErased
from apps.requests.models import PrivacyRequest
from apps.requests.staff import looks, request_page
from apps.requests.staff.forms import PurposeForm
from apps.requests.staff.pages import opened, page_of, permitted, request_or_404, show
from apps.requests.staff.todo import REVIEW
from config.http import stream


@require_safe
@permitted()
def show_request(request: HttpRequest, reference: str) -> HttpResponse:
    """Ask for the purpose, and once the look is in the log show the request."""
    found = request_or_404(reference)
    purpose = looks.purpose_of(request, found)
    if not purpose:
        return _ask(request, found, PurposeForm())
    user: Any = request.user
    everywhere = "everywhere" in request.GET
    context = request_page.context_of(found, user, purpose=str(Purpose(purpose).label), everywhere=everywhere)
    return show(request, "request", _("Request %(reference)s") % {"reference": found.reference}, context)


@require_POST
@permitted()
def open_request(request: HttpRequest, reference: str) -> HttpResponseBase:
    """Log the look with its purpose. If that fails, so does the page."""
    found = request_or_404(reference)
    form = PurposeForm(request.POST)
    if not form.is_valid():
        return _ask(request, found, form, status=400)
    looks.look_at(request, found, form.cleaned_data["purpose"])
    return redirect(_wanted(found, request.POST.get("next", "")))


def _wanted(found: PrivacyRequest, path: str) -> str:
    """Return the page that was asked for, if it is one of this request; else the request's own."""
    page = page_of(found)
    is_ours = path.startswith(page) and ".." not in path and "\\" not in path
    return path if is_ours else page


def _ask(request: HttpRequest, found: PrivacyRequest, form: PurposeForm, *, status: int = 200) -> HttpResponse:
    title = _("Request %(reference)s") % {"reference": found.reference}
    wanted = request.POST.get("next", "") or request.GET.get("next", "")
    context = {"reference": found.reference, "form": form, "next": wanted}
    return show(request, "open", title, context, status=status)


@require_GET
@permitted(REVIEW)
@opened
def document(request: HttpRequest, found: PrivacyRequest, pk: UUID) -> HttpResponseBase:
    """Give a document that shows who asks, under a name that says nothing; each time is a look of its own."""
    row = get_object_or_404(found.evidence, pk=pk, stored=True)
    services.look_at_request(found, purpose=Purpose.IDENTITY_CHECK, actor=request.actor)  # type: ignore[attr-defined]
    try:
        chunks = services.read_evidence(row)
    except KeyDestroyed:
        raise Http404 from None
    return stream(chunks, content_type="application/octet-stream", headers=_attachment(f"{found.reference}-document"))


@require_GET
@opened
def proof(request: HttpRequest, found: PrivacyRequest, pk: int) -> HttpResponse:
    """Give the proof of one entry of the request's history."""
    entry = get_object_or_404(Entry, pk=pk, about=found.handle)
    try:
        text = audit.entry_proof(entry)
    except NotSigned:
        raise Http404 from None
    name = f"{found.reference}-entry-{audit.index_of(entry)}{FILE_EXTENSION}"
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=_attachment(name))


@require_GET
@opened
def receipt(request: HttpRequest, found: PrivacyRequest, number: int) -> HttpResponse:
    """Give the receipt that the person gets: places, counts and dates, with its proof."""
    row = next((one for one in selectors.receipts_of(found) if one.number == number), None)
    if row is None:
        raise Http404
    try:
        text = selectors.receipt_file(row)
    except (NotSigned, RecordErased):
        raise Http404 from None
    name = f"{found.reference}-receipt-{number}{FILE_EXTENSION}"
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=_attachment(name))


def _attachment(name: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
