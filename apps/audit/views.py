"""The auditors' pages: read-only, and nothing on them needs to be believed, since all of it can be checked elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.audit import anchoring, bundles, exports, listing, master_keys, selectors, services, verification
from apps.audit.access import auditors_only
from apps.audit.errors import LogDamaged, NotSigned
from apps.audit.forms import FilterForm
from apps.audit.handles import is_handle
from apps.audit.models import Checkpoint, Entry, Leaf
from apps.audit.proofs import FILE_EXTENSION
from config.http import stream

LONGEST_NUMBER = 18  # digits that fit into the databases' integers
VERIFY_SECONDS = 2.0  # a page's share; "continue" goes on from there


@require_safe
@auditors_only
def entries(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    beside = _beside() | {"anchors": anchoring.standings(), "anchors_problem": anchoring.problem()}
    if not form.is_valid():
        return render(request, "audit/entries.html", beside | {"form": form, "page": None}, status=400)
    if form.entry_number is not None:
        leaf = Leaf.objects.filter(index=form.entry_number).first()
        return redirect("audit:entry", leaf.entry_id) if leaf else _not_found(request, form, beside)
    before, after = _number(request, "before"), _number(request, "after")
    page = listing.page_of(selectors.entries(**form.criteria), before=before, after=after)
    return render(request, "audit/entries.html", beside | {"form": form, "page": page, "query": _query(request)})


@require_safe
@auditors_only
def entry(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Entry.objects.select_related("leaf"), pk=pk)
    (row,) = listing.rows_of([found])
    return render(request, "audit/entry.html", _beside() | {"row": row, "text": bytes(found.data).decode()})


@require_safe
@auditors_only
def proof(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Entry, pk=pk)
    try:
        text = selectors.entry_proof(found)
    except NotSigned:
        raise Http404 from None
    name = f"entry-{selectors.index_of(found)}{FILE_EXTENSION}"
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=_attachment(name))


@require_safe
@auditors_only
def story(request: HttpRequest, handle: str) -> HttpResponse:
    """The whole story of one request or person, oldest first."""
    found = selectors.entries_about(handle) if is_handle(handle) else Entry.objects.none()
    after = _number(request, "after")
    part = list(found.filter(pk__gt=after or 0)[: listing.STORY_PAGE + 1])
    if not part and after is None:
        raise Http404
    rows = listing.rows_of(part[: listing.STORY_PAGE])
    more = rows[-1].entry.pk if len(part) > listing.STORY_PAGE else None
    return render(
        request, "audit/story.html", _beside() | {"handle": handle, "rows": rows, "after": after, "more": more}
    )


@require_safe
@auditors_only
def epochs(request: HttpRequest) -> HttpResponse:
    """When each master key ended, with the proof of every entry that says so."""
    endings, is_cut = master_keys.endings()
    return render(request, "audit/master_keys.html", _beside() | {"endings": endings, "is_cut": is_cut})


@require_safe
@auditors_only
def export(request: HttpRequest, extension: str) -> HttpResponse | StreamingHttpResponse:
    form = FilterForm(request.GET)
    if not form.is_valid() or form.entry_number is not None:
        raise Http404
    checkpoint = _newest_checkpoint()
    if extension == "csv":
        return _download(
            "audit-log.csv", "text/csv; charset=utf-8", exports.spreadsheet(selectors.entries(**form.criteria))
        )
    if form.criteria:
        lines = exports.selection(selectors.entries(**form.criteria), checkpoint)
        return _download("audit-log-selection.jsonl", "application/jsonl", lines)
    return _download("audit-log.jsonl", "application/jsonl", exports.whole_log(checkpoint))


@require_safe
@auditors_only
def bundle(request: HttpRequest) -> StreamingHttpResponse:
    """Everything that an auditor needs to check the log elsewhere, as one ZIP."""
    return _download(bundles.FILE_NAME, "application/zip", bundles.bundle(_newest_checkpoint()))


@require_POST
@auditors_only
def verify(request: HttpRequest) -> HttpResponse:
    """Check the signature, the root, and as many raw entries as fit into two seconds."""
    values: dict = {}
    try:
        values["report"] = verification.verify_newest(VERIFY_SECONDS, _whole(request.POST, "before"))
    except LogDamaged as error:
        values["damage"] = str(error)
    return render(request, "audit/verify.html", _beside() | values)


def _beside() -> dict:
    """What stands beside every page: the newest checkpoint, the log's key, and the alarm."""
    return {
        "checkpoint": selectors.latest_checkpoint(),
        "key": selectors.public_key_text(),
        "archive_key": selectors.archive_key_text(),
        "is_overdue": selectors.overdue_entries().exists(),
    }


def _not_found(request: HttpRequest, form: FilterForm, beside: dict) -> HttpResponse:
    page = listing.Page([], None, None)
    return render(request, "audit/entries.html", beside | {"form": form, "page": page}, status=404)


def _newest_checkpoint() -> Checkpoint:
    """Sign what is waiting, as far as one checkpoint takes it, so that a file to take away holds the newest.

    Without any checkpoint there is nothing to take.
    """
    try:
        return services.sequence(services.MOST_ENTRIES)
    except NotSigned:
        newest = selectors.latest_checkpoint()
        if newest is None:
            raise Http404 from None
        return newest


def _number(request: HttpRequest, name: str) -> int | None:
    return _whole(request.GET, name)


def _whole(values: QueryDict, name: str) -> int | None:
    text = values.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def _query(request: HttpRequest) -> str:
    """Return the filters as a query string, without the place in the list."""
    values = request.GET.copy()
    for name in ("before", "after"):
        values.pop(name, None)
    return "".join(f"&{part}" for part in [values.urlencode()] if part)


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}


def _download(name: str, content_type: str, chunks: Iterable[bytes]) -> StreamingHttpResponse:
    return stream(chunks, content_type=content_type, headers=_attachment(name))
