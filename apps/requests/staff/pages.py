"""What the staff's pages have in common: who may open them, and the frame of the admin around them.

Permission comes before everything, so that whoever may not look cannot tell which references exist.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.requests import selectors
from apps.requests.models import PrivacyRequest
from apps.requests.services.deciding import is_about
from apps.requests.staff import looks, todo, words
from apps.requests.staff.forms import LetterForm
from apps.requests.staff.todo import VIEW

View = Callable[..., HttpResponseBase]


def permitted(permission: str = VIEW) -> Callable[[View], View]:
    """Refuse everybody without the permission."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate


def opened(view: View) -> View:
    """Hand the view its request, once a look at it stands in the log; else ask for the purpose first."""

    @wraps(view)
    @permitted()
    def checked(request: HttpRequest, reference: str, **kwargs: Any) -> HttpResponseBase:
        found = request_or_404(reference)
        if not looks.purpose_of(request, found):
            wanted = f"?{urlencode({'next': request.path})}" if request.method in ("GET", "HEAD") else ""
            return redirect(page_of(found) + wanted)
        return view(request, found, **kwargs)

    return checked


def acting(*names: str) -> Callable[[View], View]:
    """Hand the view its request if this person may do one of these acts with it now."""

    def decorate(view: View) -> View:
        @wraps(view)
        @opened
        def checked(request: HttpRequest, found: PrivacyRequest, **kwargs: Any) -> HttpResponseBase:
            acts = [todo.ACTS[name] for name in names]
            user: Any = request.user
            if not any(user.has_perm(act.permission) for act in acts):
                raise PermissionDenied
            if not any(todo.may(act, found, user) for act in acts):
                messages.warning(request, words.OWN if is_about(found, user) else todo.NOT_NOW)
                return redirect(page_of(found))
            return view(request, found, **kwargs)

        return checked

    return decorate


def request_or_404(reference: str) -> PrivacyRequest:
    found = selectors.by_reference(reference)
    if found is None:
        raise Http404
    return found


def page_of(found: PrivacyRequest) -> str:
    return reverse("admin:requests_privacyrequest_change", args=[found.reference])


def show(
    request: HttpRequest, template: str, title: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render a page of templates/admin/requests/ inside the admin's frame."""
    framed = admin.site.each_context(request) | {"title": title} | (context or {})
    return render(request, f"admin/requests/{template}.html", framed, status=status)


def letter_context(found: PrivacyRequest, form: LetterForm, letter: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the page that writes a letter shows; `letter`: as it will arrive, once there is a text."""
    return {
        "found": found,
        "kind": words.kind(found.kind),
        "form": form,
        "letter": letter,
        "language": dict(settings.LANGUAGES).get(found.language, found.language),
        "has_address": bool(selectors.stated_identity(found).get("email")),
    }
