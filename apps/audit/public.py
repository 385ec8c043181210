"""The log as other people's tools read it (C2SP tlog-tiles), and the page with its key. Entry tiles are the auditors'."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from apps.audit import merkle, selectors, tiles
from apps.audit.access import auditors_only
from apps.audit.continuing import earlier_log

OCTETS = "application/octet-stream"
# A tile never changes, but a new log in the place of this one (continuing.py) has others at the same addresses.
ASK_AGAIN = {"Cache-Control": "public, no-cache"}
MOST_LEVELS = 63


@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """The key that receipts and the log are verified with, for everybody."""
    values: dict[str, Any] = {"key": selectors.public_key_text(), "archive_key": selectors.archive_key_text()}
    values |= {"earlier": selectors.verifier_keys()[1:], "earlier_archive": selectors.archive_keys()[1:]}
    before = earlier_log()
    if before is not None:
        keys = {key.name: str(key) for key in reversed(selectors.keys_of_every_log())}
        before["key"] = keys[before["origin"]]
    values["log_before"] = before
    return render(request, "audit/log.html", values | {"checkpoint": selectors.latest_checkpoint()})


@require_safe
def checkpoint(request: HttpRequest) -> HttpResponse:
    newest = selectors.latest_checkpoint()
    if newest is None:
        raise Http404
    headers = {"Cache-Control": "public, max-age=2"}
    return HttpResponse(newest.note, content_type="text/plain; charset=utf-8", headers=headers)


@require_safe
def hash_tile(request: HttpRequest, level: int, name: str) -> HttpResponseBase:
    index, width = _place(level, name, level)
    data = b"".join(tiles.read_hashes(level, index, width))
    etag = quote_etag(sha256(data).hexdigest())
    response = HttpResponse(data, content_type=OCTETS, headers=ASK_AGAIN | {"ETag": etag})
    return get_conditional_response(request, etag=etag, response=response) or response


@require_safe
@auditors_only
def entry_tile(request: HttpRequest, name: str) -> HttpResponse:
    index, width = _place(tiles.ENTRIES, name, 0)
    return HttpResponse(tiles.entry_bundle(index, width), content_type=OCTETS)


def _place(prefix: int | str, name: str, level: int) -> tuple[int, int]:
    """Return index and width of a tile that the newest checkpoint covers; anything else does not exist."""
    newest, place = selectors.latest_checkpoint(), tiles.parse_path(prefix, name)
    if newest is None or place is None or level > MOST_LEVELS:
        raise Http404
    index, width = place
    if not 0 < width <= merkle.tile_width(newest.size, level, index):
        raise Http404
    return place
