"""What no key opens any more: the keys were made after the backup of keys that was read in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db.models import QuerySet, Sum

from apps.keys.services.replaying import Standing, standing_of
from apps.records.models import Attachment, Conversation, Copy, Import, Subject
from apps.requests.models import Evidence

BATCH = 400


@dataclass(frozen=True)
class Loss:
    """Counts of what cannot be read any more, and the keys that are missing."""

    people: int = 0
    conversations: int = 0
    messages: int = 0
    files: int = 0
    requests: int = 0
    others: int = 0  # uploads, documents, archives: they can be asked for, or made, again
    indexes: int = 0  # keys of blind indexes: the replay makes them anew
    keys: tuple[UUID, ...] = ()

    def in_words(self) -> str:
        """Say it as a person would."""
        counts = {
            "people": self.people,
            "conversations": self.conversations,
            "messages": self.messages,
            "files": self.files,
            "requests": self.requests,
            "uploads, documents or archives": self.others,
            "blind indexes (the replay makes them anew)": self.indexes,
        }
        named = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join(named) if named else "nothing"


def count_lost() -> Loss:
    """Count what rows name whose keys are neither live nor tombstones.

    Not what belongs to a person whose key is a tombstone: the rows of the keys below that are deleted with the person.
    """
    found = dict(standings())
    erased = Subject.objects.filter(key_id__in=found["records.Subject.key_id"].destroyed)
    lost = {column: standing.lost for column, standing in found.items()}
    for column, model in (("records.Conversation.key_id", Conversation), ("records.Import.key_id", Import)):
        gone = model._default_manager.filter(key_id__in=lost[column], subject__in=erased)
        lost[column] = lost[column] - set(gone.values_list("key_id", flat=True))
    conversations = Conversation.objects.filter(key_id__in=lost.get("records.Conversation.key_id", ()))
    others = ("records.Import.key_id", "requests.Evidence.key_id", "archives.Archive.key_id")
    return Loss(
        people=len(lost.get("records.Subject.key_id", ())),
        conversations=conversations.count(),
        messages=conversations.aggregate(total=Sum("message_count"))["total"] or 0,
        files=Attachment.objects.filter(conversation__in=conversations, stored=True).count(),
        requests=len(lost.get("requests.PrivacyRequest.key_id", ())),
        others=sum(len(lost.get(column, ())) for column in others),
        indexes=len(lost.get("records.IndexKey.key_id", ())),
        keys=tuple(sorted({key_id for some in lost.values() for key_id in some})),
    )


def standings() -> Iterator[tuple[str, Standing]]:
    """Yield for each column that names keys which of them are destroyed or lost."""
    for columns in settings.KEY_OWNERS.values():
        for column in columns:
            yield column, standing_of_column(column)


def standing_of_column(column: str) -> Standing:
    """Look at every key that the column names ("app.Model.field"), in batches by id."""
    model, field = column.rsplit(".", 1)
    rows = named_in(apps.get_model(model)._default_manager.filter(**{f"{field}__isnull": False}))
    found, last = Standing(), None
    while True:
        after = rows.filter(**{f"{field}__gt": last}) if last else rows
        batch = list(after.order_by(field).values_list(field, flat=True).distinct()[:BATCH])
        if not batch:
            return found
        some = standing_of(batch)
        found.destroyed.update(some.destroyed)
        found.lost.update(some.lost)
        last = batch[-1]


def named_in(rows: QuerySet) -> QuerySet:
    """Leave out what is on its way out: documents that are destroyed, copies that will be deleted in their places."""
    if rows.model is Evidence:
        return rows.exclude(destroyed_at__isnull=False, stored=False)
    return rows.filter(doomed_at__isnull=True) if rows.model is Copy else rows
