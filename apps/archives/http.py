"""Sending an archive: in full or the range that was asked for (RFC 9110 §14), unsealed as it goes."""

from __future__ import annotations

import re
from collections.abc import Generator

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.archives import services
from apps.archives.errors import ArchiveGone
from apps.archives.models import Archive
from apps.archives.selectors import is_readable, open_archive_key, read_range
from apps.audit.actors import Actor
from config.http import stream

LAYOUT_VERSION = 1  # part of the validator: a change of how headers are made must not join with older bytes
_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE)
_MEDIA_TYPE = "application/zip"


def archive_response(
    request: HttpRequest, archive: Archive, *, actor: Actor | None = None, filename: str = ""
) -> HttpResponseBase:
    """Answer GET or HEAD with the archive; raises ArchiveGone when it is not published, expired or destroyed.

    One range is served, several are answered with the whole (RFC 9110 §14.2 allows that). What was sent is noted, with an
    entry in the log by `actor`.
    """
    if not is_readable(archive) or archive.size is None:
        raise ArchiveGone("the archive is not there any more")
    open_archive_key(archive)  # before the first header goes out
    headers = _headers(archive, filename)
    wanted = requested_range(request, archive.size, headers["ETag"])
    if wanted == ():
        unsatisfiable = headers | {"Content-Range": f"bytes */{archive.size}"}
        return HttpResponse(status=416, content_type=_MEDIA_TYPE, headers=unsatisfiable)
    start, stop = wanted or (0, archive.size)
    headers["Content-Length"] = str(stop - start)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{archive.size}"
    status = 206 if wanted else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=_MEDIA_TYPE, headers=headers)
    chunks = _noted(archive, start, stop, actor or Actor.system())
    response = stream(chunks, content_type=_MEDIA_TYPE, status=status, headers=headers)
    response._resource_closers.append(chunks.close)  # type: ignore[attr-defined]  # when the client leaves, in the request's own thread
    return response


def entity_tag(archive: Archive) -> str:
    """Return a strong validator: the same tag always means the same bytes."""
    return f'"{archive.pk.hex}-{archive.manifest_sha256[:16]}-{LAYOUT_VERSION}"'


def requested_range(request: HttpRequest, size: int, tag: str) -> tuple[int, int] | tuple[()] | None:
    """Return start and stop of the range to send; None: everything; (): the range lies outside.

    If-Range with anything but our tag means everything. A malformed Range, several ranges, or a method other than GET is as if
    there were none.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or not found or found.groups() == ("", ""):
        return None
    if request.headers.get("If-Range", tag).strip() != tag:
        return None
    first, last = (int(text[:20]) if text else None for text in found.groups())
    if first is None:
        start, stop = max(0, size - (last or 0)), size
    elif last is not None and last < first:
        return None
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    return (start, stop) if start < stop else ()


def _noted(archive: Archive, start: int, stop: int, actor: Actor) -> Generator[bytes, None, None]:
    """Pass the bytes on; at the end, also when the client leaves, note how many were taken."""
    sent = start
    try:
        for chunk in read_range(archive, start, stop):
            yield chunk
            sent += len(chunk)  # asked for the next one: this one has been taken
    finally:
        services.note_served(archive.pk, start, sent, actor=actor)


def _headers(archive: Archive, filename: str) -> dict[str, str]:
    created = archive.created_at.strftime("%Y-%m-%d")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", filename) or f"privacy-archive-{created}-{archive.number}.zip"
    return {
        "Accept-Ranges": "bytes",
        "ETag": entity_tag(archive),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
