"""Who may open a person's pages. Not found and not allowed look alike from outside."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import time
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from apps.accounts.services import actor_of
from apps.audit.actors import Actor
from apps.records.errors import (
    CONTENT_IS_GONE,
    AttachmentNotFound,
    ConversationNotFound,
    ImportNotFound,
    MessageNotFound,
    NotCorrectable,
)
from apps.records.models import Subject
from apps.records.subjects import subject_for
from apps.requests import selectors
from apps.requests.models import Intake, PrivacyRequest
from apps.requests.references import tidy_reference

View = Callable[..., Any]

NOT_FOUND = (ConversationNotFound, MessageNotFound, NotCorrectable, AttachmentNotFound, ImportNotFound)
OPENED = "opened requests"  # in the session: reference → until when, as seconds
OPEN_SECONDS = 30 * 60
MOST_OPEN = 10


def person_page(view: View) -> View:
    """A page of the person who is signed in, given as `subject`; never kept by a cache."""

    @wraps(view)
    @login_required
    @never_cache
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, subject_for(request.user), *args, **kwargs)  # type: ignore[arg-type]
        except NOT_FOUND:
            raise Http404 from None
        except CONTENT_IS_GONE:
            return render(request, "portal/frozen.html", status=409)

    return checked


def posted(fallback: str) -> Callable[[View], View]:
    """Let a view take forms only. Whoever comes by an address, as after a change of language, is led to `fallback`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            return view(request, *args, **kwargs) if request.method == "POST" else redirect(fallback, **kwargs)

        return checked

    return decorate


def person(request: HttpRequest, subject: Subject) -> Actor:
    """The person as the log calls them."""
    return actor_of(request, handle=subject.handle)


def open_by_code(request: HttpRequest, reference: str, code: str) -> PrivacyRequest | Intake | None:
    """Open status and receipt of a request in this browser for half an hour; None unless reference and code fit."""
    found = selectors.by_reference_and_code(reference, code)
    if found is not None:
        opened = {**request.session.get(OPENED, {}), found.reference: time() + OPEN_SECONDS}
        request.session[OPENED] = dict(list(opened.items())[-MOST_OPEN:])
    return found


def opened_by_code(request: HttpRequest, reference: str) -> PrivacyRequest | Intake | None:
    """Return the request if its code was given in this browser a short while ago."""
    reference = tidy_reference(reference)
    if request.session.get(OPENED, {}).get(reference, 0) < time():
        return None
    return selectors.by_reference(reference) or Intake.objects.filter(reference=reference).first()
