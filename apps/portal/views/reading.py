"""One conversation as its person reads it, and the files in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header, urlencode
from django.views.decorators.http import require_GET

from apps.portal.access import person_page
from apps.portal.middleware import HEADER
from apps.portal.reader import SHOWN_IMAGES, kind_of_image, show_branch, show_turn
from apps.records import selectors
from apps.records.models import Subject
from apps.records.selectors import OpenFile
from config.http import stream

LONGEST_POSITION = 10
ALONE = "sandbox; default-src 'none'; frame-ancestors 'none'"


@require_GET
@person_page
def conversation(request: HttpRequest, subject: Subject, pk: UUID) -> HttpResponse:
    position = _number(request, "at")
    if position is not None:  # from a search to the place
        branch, page = selectors.page_of(subject, pk, position)
        query = {"page": page} if branch is None else {"branch": branch, "page": page}
        return redirect(f"{request.path}?{urlencode(query)}#m{position}")
    branch, page = _number(request, "branch"), _number(request, "page") or 1
    reading = selectors.read_conversation(subject, pk, branch=branch, page=page)
    context = {
        "section": "conversations",
        "conversation": reading.summary,
        "reading": reading,
        "turns": [show_turn(turn, reading.by_pointer) for turn in reading.turns],
        "branches": [show_branch(branch) for branch in reading.branches],
    }
    return render(request, "portal/conversation.html", context)


@require_GET
@person_page
def attachment(request: HttpRequest, subject: Subject, pk: UUID, attachment: UUID) -> StreamingHttpResponse:
    """Hand a file out to be saved, never to be shown: what is in it may be a page with scripts."""
    opened = _open(subject, pk, attachment)
    name = opened.info.name or "file"
    return _answer(
        opened, opened.chunks, "application/octet-stream", content_disposition_header(True, name) or "attachment"
    )


@require_GET
@person_page
def image(request: HttpRequest, subject: Subject, pk: UUID, attachment: UUID) -> StreamingHttpResponse:
    """Show a picture whose first bytes say that it is one, alone in a sandbox; anything else is not found."""
    opened = _open(subject, pk, attachment)
    if opened.info.media_type not in SHOWN_IMAGES:
        raise Http404
    chunks = iter(opened.chunks)
    first = next(chunks, b"")
    media_type = kind_of_image(first)
    if media_type is None:
        raise Http404
    return _answer(opened, chain([first], chunks), media_type, "inline")


def _open(subject: Subject, conversation_id: UUID, attachment_id: UUID) -> OpenFile:
    opened = selectors.open_attachment(subject, attachment_id)
    if opened.info.conversation_id != conversation_id:
        raise Http404
    return opened


def _answer(
    opened: OpenFile, chunks: Iterable[bytes] | Iterator[bytes], media_type: str, disposition: str
) -> StreamingHttpResponse:
    headers: dict[str, Any] = {
        "Content-Disposition": disposition,
        "Content-Length": str(opened.info.size),
        "Cross-Origin-Resource-Policy": "same-origin",
        HEADER: ALONE,
    }
    return stream(chunks, content_type=media_type, headers=headers)


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < LONGEST_POSITION else None
