"""Who may read the log: auditors, and nobody else. Checkpoint and hash tiles say nothing about anybody and are public."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase

View = Callable[..., HttpResponseBase]
AUDITORS = "auditors"


def auditors_only(view: View) -> View:
    """Let auditors in; nobody signed in is asked to sign in, and to everybody else the page does not exist."""

    @wraps(view)
    @login_required
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_auditor(request):
            raise Http404
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return checked


def is_auditor(request: HttpRequest) -> bool:
    user: Any = request.user
    return user.has_perm("audit.view_entry") or user.groups.filter(name=AUDITORS).exists()
