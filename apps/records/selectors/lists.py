"""Lists: a person's conversations page by page, their imports, and what is held of them in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from apps.records import contexts
from apps.records.errors import ImportNotFound
from apps.records.keyring import read_under_key
from apps.records.models import Attachment, Conversation, Identity, Import, Subject
from apps.records.opening import living_keys, open_head
from apps.records.services.holds import standing_holds
from apps.sealing import content
from apps.sealing.aead import Box

PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True)
class ConversationSummary:
    """A line of the list."""

    id: UUID
    title: str  # "" for one without a title
    source: str
    started_at: datetime
    updated_at: datetime
    message_count: int
    file_count: int
    held_until: date | None = None  # a legal hold keeps it


@dataclass(frozen=True)
class Page:
    """`next_cursor` is "" on the last page."""

    items: list[Any]
    next_cursor: str


@dataclass(frozen=True)
class HeldSummary:
    """What is held of a person, counted."""

    conversations: int
    messages: int
    files: int
    file_bytes: int
    imports: int
    identities: int
    kept_by_law: int  # of the conversations
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class ImportView:
    """An import as its person sees it: `done_items` of about `total_items` (None: not known) have been read."""

    id: UUID
    name: str
    state: str
    reason: str
    format: str
    size: int
    conversations: int
    messages: int
    attachments: int
    already_held: int
    done_items: int
    total_items: int | None
    skipped_count: int
    created_at: datetime
    finished_at: datetime | None
    skipped: list[dict[str, str]]


def theirs(subject: Subject, *, since: date | None = None, until: date | None = None) -> QuerySet[Conversation]:
    """Return a person's conversations that have something between two days (inclusive, in the active time zone)."""
    found = Conversation.objects.filter(subject=subject, erasing_at__isnull=True)
    if since is not None:
        found = found.filter(updated_at__gte=_midnight(since))
    if until is not None:
        found = found.filter(started_at__lt=_midnight(until + timedelta(days=1)))
    return found


def conversations_page(
    subject: Subject, *, cursor: str = "", limit: int = PAGE, since: date | None = None, until: date | None = None
) -> Page:
    """Return a page of conversations, newest first; only their titles are opened. A bad cursor begins at the top."""
    limit = min(max(limit, 1), MAX_PAGE)
    found = after_cursor(theirs(subject, since=since, until=until), cursor)
    rows = list(found.order_by("-updated_at", "pk")[: limit + 1])
    shown = rows[:limit]
    return Page(summaries(subject, shown), cursor_of(shown[-1]) if len(rows) > limit else "")


def summaries(subject: Subject, rows: list[Conversation]) -> list[ConversationSummary]:
    """Open the titles of these conversations; one whose key has just been destroyed is left out."""
    opened = living_keys(rows)
    ids = [row.pk for row in rows]
    counted = Attachment.objects.filter(conversation__in=ids, stored=True).values_list("conversation")
    files = dict(counted.annotate(count=Count("pk")).order_by())
    everything, single = _holds(subject, ids)
    return [
        ConversationSummary(
            id=row.pk,
            title=open_head(row, Box(opened[row.key_id])).title,
            source=row.source,
            started_at=row.started_at,
            updated_at=row.updated_at,
            message_count=row.message_count,
            file_count=files.get(row.pk, 0),
            held_until=max(filter(None, (everything, single.get(row.pk))), default=None),
        )
        for row in rows
        if row.key_id in opened
    ]


def count_conversations(subject: Subject, *, since: date | None = None, until: date | None = None) -> int:
    return theirs(subject, since=since, until=until).count()


def held_summary(subject: Subject) -> HeldSummary:
    """Count what is held of a person, without opening anything."""
    found = Conversation.objects.filter(subject=subject, erasing_at__isnull=True)
    totals = found.aggregate(
        conversations=Count("pk"), messages=Sum("message_count"), oldest=Min("started_at"), newest=Max("updated_at")
    )
    files = Attachment.objects.filter(conversation__in=found, stored=True)
    sizes = files.aggregate(count=Count("pk"), size=Sum("size"))
    holds = standing_holds(subject.pk)
    held = totals["conversations"] if holds.filter(conversation__isnull=True).exists() else (
        holds.values("conversation_id").distinct().count()
    )  # fmt: skip
    return HeldSummary(
        conversations=totals["conversations"],
        messages=totals["messages"] or 0,
        files=sizes["count"],
        file_bytes=sizes["size"] or 0,
        imports=Import.objects.filter(subject=subject).count(),
        identities=Identity.objects.filter(subject=subject).count(),
        kept_by_law=held,
        oldest=totals["oldest"],
        newest=totals["newest"],
    )


def imports_of(subject: Subject, *, limit: int = 20) -> list[ImportView]:
    """Return a person's imports, newest first, without what was skipped."""

    def read(key: bytes) -> list[ImportView]:
        rows = list(Import.objects.filter(subject=subject).order_by("-created_at", "pk")[:limit])
        box = Box(key)
        return [_import_view(row, subject, box) for row in rows]

    return read_under_key(subject, read) if Import.objects.filter(subject=subject).exists() else []


def import_of(subject: Subject, import_id: UUID) -> ImportView:
    """Return one import of a person with what was skipped, and why; raises ImportNotFound."""

    def read(key: bytes) -> ImportView:
        row = Import.objects.filter(subject=subject, pk=import_id).first()
        if row is None:
            raise ImportNotFound
        box = Box(key)
        skipped = []
        if row.sealed_report is not None:
            context = contexts.import_report(subject.key_id, row.pk)
            skipped = content.unseal_json(box, row.sealed_report, context=context)
        return _import_view(row, subject, box, skipped)

    if not Import.objects.filter(subject=subject, pk=import_id).exists():
        raise ImportNotFound
    return read_under_key(subject, read)


def cursor_of(row: Conversation) -> str:
    return orjson.dumps([row.updated_at.isoformat(), str(row.pk)]).hex()


def after_cursor(found: QuerySet[Conversation], cursor: str) -> QuerySet[Conversation]:
    """Go on after a conversation, newest first; anything that is no cursor begins at the top."""
    if not cursor:
        return found
    try:
        moment, last = orjson.loads(bytes.fromhex(cursor))
        updated_at, last_id = datetime.fromisoformat(moment).astimezone(UTC), UUID(last)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return found
    return found.filter(Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, pk__gt=last_id))


def _holds(subject: Subject, ids: list[UUID]) -> tuple[date | None, dict[UUID, date]]:
    everything, single = None, {}
    rows = standing_holds(subject.pk).filter(Q(conversation__isnull=True) | Q(conversation__in=ids)).order_by("until")
    for conversation_id, until in rows.values_list("conversation_id", "until"):
        if conversation_id is None:
            everything = until
        else:
            single[conversation_id] = until
    return everything, single


def _import_view(row: Import, subject: Subject, box: Box, skipped: list[dict[str, str]] | None = None) -> ImportView:
    name = content.unseal_json(box, row.sealed, context=contexts.import_name(subject.key_id, row.pk))["name"]
    return ImportView(
        id=row.pk,
        name=name,
        state=row.state,
        reason=row.reason,
        format=row.format,
        size=row.size,
        conversations=row.conversations,
        messages=row.messages,
        attachments=row.attachments,
        already_held=row.already_held,
        done_items=row.done_items,
        total_items=row.total_items,
        skipped_count=row.skipped,
        created_at=row.created_at,
        finished_at=row.finished_at,
        skipped=skipped or [],
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())
