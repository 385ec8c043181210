"""One page of the list, found by keyset: as quick on the last page as on the first."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from apps.audit import selectors
from apps.audit.models import Entry

PAGE = 50
STORY_PAGE = 200


@dataclass(frozen=True)
class Row:
    """An entry as pages show it."""

    entry: Entry
    details: dict
    index: int | None
    is_signed: bool
    is_late: bool  # unsigned for longer than it may take


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    older: int | None  # `before` of the next page
    newer: int | None  # `after` of the page before


def page_of(found: QuerySet[Entry], *, before: int | None = None, after: int | None = None) -> Page:
    """Return the 50 entries before or after an id, newest first; without either the newest ones."""
    if after is not None:
        ids = _ids(found.filter(pk__gt=after).order_by("pk"))
        shown = ids[:PAGE][::-1]
        return Page(_rows_by_id(shown), shown[-1] if shown else None, shown[0] if len(ids) > PAGE else None)
    if before is not None:
        found = found.filter(pk__lt=before)
    ids = _ids(found.order_by("-pk"))
    shown = ids[:PAGE]
    has_newer = before is not None and bool(shown)
    return Page(_rows_by_id(shown), shown[-1] if len(ids) > PAGE else None, shown[0] if has_newer else None)


def _ids(found: QuerySet[Entry]) -> list[int]:
    """Find ids alone first: from an index that holds the filter too, PostgreSQL need not visit the rows that do not fit."""
    return list(found.values_list("pk", flat=True)[: PAGE + 1])


def _rows_by_id(ids: list[int]) -> list[Row]:
    return rows_of(list(Entry.objects.filter(pk__in=ids).select_related("leaf").order_by("-pk")))


def rows_of(entries: list[Entry]) -> list[Row]:
    newest = selectors.latest_checkpoint()
    size = newest.size if newest else 0
    return [_row(entry, size) for entry in entries]


def _row(entry: Entry, size: int) -> Row:
    leaf = getattr(entry, "leaf", None)
    is_signed = leaf is not None and leaf.index < size
    is_late = not is_signed and entry.created_at < timezone.now() - selectors.UNSIGNED_ALARM
    return Row(entry, selectors.details_of(entry), leaf.index if leaf else None, is_signed, is_late)
