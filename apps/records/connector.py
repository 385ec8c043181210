"""The place "records": our own vault. Access takes every conversation with every branch; erasure leaves no row, no object.

No key of a person is destroyed here: the erasure's destroy step did that before (DESIGN §5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError

from apps.audit.actors import Actor
from apps.keys.errors import JournalNotTruncated, KeyDestroyed
from apps.locations import own_storage
from apps.locations.contract import Change, Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Blocked, LocationError, Refused, Unavailable
from apps.locations.reasons import Reason
from apps.locations.said import said as _
from apps.records import objects
from apps.records.errors import Contention, ConversationsHeld, RecordsError, SubjectFrozen, SubjectRestricted
from apps.records.export import Cursor, export_conversations
from apps.records.models import Attachment, Conversation, Import, Subject
from apps.records.selectors.lists import imports_of, theirs
from apps.records.services.erasing import NotFrozen, erase_subject_rows, look_for_rest
from apps.records.services.holds import held_conversations, held_until, standing_holds
from apps.records.services.rectifying import rectify_subject
from apps.records.services.restricting import release_subject, restrict_subject
from apps.records.subjects import identities_of

PAGE = 500


class RecordsConnector:
    """Of our own: it needs no configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def check(self) -> Health:
        try:
            Subject.objects.exists()
            objects.check()
            return own_storage.health(_("The database and the storage for files answer."))
        except DatabaseError:
            return Health(is_reachable=False, message=_("The database does not answer."), horizon_days=None)
        except LocationError as error:
            return Health(is_reachable=False, message=error.said, horizon_days=None)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        """Name what a legal hold keeps."""
        if not standing_holds(who.subject_id).exists():
            return []
        count = held_conversations(who.subject_id).count()
        return [Obstacle(Reason.LEGAL_HOLD.value, count=count, until=held_until(who.subject_id))]

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        """Yield conversations and files, by their ids: nothing is opened."""
        subject = Subject.objects.filter(pk=who.subject_id).first()
        if subject is None:
            return
        conversations = theirs(subject, since=scope.since, until=scope.until)
        for pk, updated_at in _pages(conversations.order_by("pk"), "updated_at"):
            yield Item(name=str(pk), kind="conversation", modified=updated_at)
        files = Attachment.objects.filter(conversation__in=conversations, stored=True).order_by("pk")
        for pk, size, created_at in _pages(files, "size", "created_at"):
            yield Item(name=str(pk), kind="attachment", size=size, modified=created_at)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield profile.json, then every conversation, in slices; a batch may end after any entry."""
        subject = Subject.objects.filter(pk=who.subject_id).first()
        if subject is None:
            return
        try:
            if not cursor:
                profile = orjson.dumps(_profile(subject), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
                yield Entry("profile.json", "application/json", (profile,), Cursor().text, count=0)
            yield from export_conversations(subject, scope, Cursor.read(cursor))
        except KeyDestroyed:
            raise Refused("the person's keys were destroyed while this ran") from None

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Delete in batches: objects, their rows, conversations, and last the person's own row."""
        try:
            for batch in erase_subject_rows(who.subject_id):
                counts = {batch.kind: batch.count} if batch.count else {}
                if batch.messages:
                    counts["messages"] = batch.messages
                counted = batch.count if batch.kind in ("attachments", "conversations") else 0
                yield Progress(erased=counted, cursor=batch.kind, counts=counts)
        except NotFrozen:
            raise Refused("something may still be written for this person: an erasure freezes first") from None
        except JournalNotTruncated:
            raise Unavailable("the database's journal is held by a reader") from None

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Look again into the rows, the storage itself, and the keys."""
        left = look_for_rest(who.subject_id)
        count = left.rows + left.objects + left.keys
        if count:
            return Remaining(count=count + left.held, reason=Reason.STILL_THERE.value)
        if left.held:
            return Remaining(count=left.held, reason=Reason.LEGAL_HOLD.value, until=left.until)
        return Remaining(count=0)

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        """Correct words of the person's messages, and what they are known by; return how many messages and identities."""
        try:
            return rectify_subject(who.subject_id, changes, actor=Actor.system())
        except ConversationsHeld as held:
            raise Blocked(Reason.LEGAL_HOLD, held.until) from None
        except SubjectRestricted:
            raise Blocked(Reason.RESTRICTED) from None
        except (Contention, SubjectFrozen):
            raise Unavailable("something else is written for this person at this moment") from None
        except (RecordsError, KeyDestroyed):
            raise Refused("Nothing of this person can be corrected like that. A person has to look.") from None

    def restrict(self, who: Identity, on: bool) -> int:
        """Set or clear the mark that sources, copies, retention and erasures heed; return how many conversations it covers."""
        try:
            return (restrict_subject if on else release_subject)(who.subject_id, actor=Actor.system())
        except SubjectFrozen:
            raise Unavailable("an erasure of this person has begun") from None


def _profile(subject: Subject) -> dict[str, Any]:
    """Return what is known of the person beside conversations: identities, choices, consent, imports."""
    summary = Conversation.objects.filter(subject=subject, erasing_at__isnull=True).count()
    return {
        "id": subject.pk,
        "since": subject.created_at,
        "known_as": [{"kind": kind, "value": value} for kind, value in identities_of(subject)],
        "conversations": summary,
        "consent_to_keeping_new_conversations": subject.is_recording_allowed,
        "opted_out_of_training": subject.opted_out_of_training,
        "opted_out_of_sale_and_sharing": subject.opted_out_of_sharing,
        "erase_conversations_after_days": subject.retention_days,
        "processing_restricted_since": subject.restricted_at,
        "legal_holds": [
            {"basis": hold.basis, "until": hold.until, "conversation": hold.conversation_id}
            for hold in standing_holds(subject.pk).order_by("pk")
        ],
        "imports": [
            {"file": one.name, "format": one.format, "received": one.created_at, "conversations": one.conversations}
            for one in imports_of(subject, limit=Import.objects.filter(subject=subject).count())
        ],
    }


def _pages(rows: Any, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield (pk, *columns) of every row, a page at a time by keyset: no cursor stays open on SQLite."""
    last: UUID | None = None
    while page := list((rows.filter(pk__gt=last) if last else rows).values_list("pk", *columns)[:PAGE]):
        yield from page
        last = page[-1][0]
