"""Documents by which a person shows who they are: each under a key of its own, which dies with the decision.

EDPB 01/2022 and 11 CCR 7060(d): what was checked is recorded, the document is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import uuid4

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.services import KeyKind
from apps.records import objects
from apps.records.importers.values import as_file_name
from apps.requests.documents import Counted, Document
from apps.requests.errors import WrongStatus
from apps.requests.models import Evidence, PrivacyRequest
from apps.requests.services.deciding import UNDECIDED
from apps.sealing import content
from apps.sealing.aead import associated_data

FOLDER = "evidence"
MOST_AT_ONCE = 100


def add_evidence(request: PrivacyRequest, document: Document, chunks: Iterable[bytes], *, actor: Actor) -> Evidence:
    """Take a document while the request is undecided: key, row, object, then the row says that it is there."""
    if request.status not in UNDECIDED:
        raise WrongStatus(request.reference)
    row = Evidence(id=uuid4(), request=request, object_name=objects.new_name(FOLDER, request.pk))
    key = keys.create_key(KeyKind.EVIDENCE, owner=row.pk)
    row.key_id = key.id
    row.sealed = content.seal_json(
        key.key, [as_file_name(document.name), document.media_type], context=_context(row, "sealed")
    )
    row.save(force_insert=True)
    counted = Counted(chunks)
    is_taken = False
    try:
        objects.upload(row.object_name, counted, key_id=key.id, key=key.key, context=_context(row, "object"))
        is_taken = True
    finally:
        if not is_taken and objects.try_delete(row.object_name):
            row.delete()  # else it stays, and goes with the decision
    with transaction.atomic():
        Evidence.objects.filter(pk=row.pk).update(stored=True, size=counted.size)
        audit.append(Event.EVIDENCE_RECEIVED, about=request.handle, actor=actor, documents=1)
    row.refresh_from_db()
    return row


def describe_evidence(row: Evidence) -> Document:
    """Open what a document is called; raises KeyDestroyed after the decision."""
    name, media_type = content.unseal_json(
        keys.open_key(row.key_id), bytes(row.sealed), context=_context(row, "sealed")
    )
    return Document(name, media_type)


def read_evidence(row: Evidence) -> Iterator[bytes]:
    """Open a document; raises KeyDestroyed after the decision."""
    key = keys.open_key(row.key_id)
    return objects.download(row.object_name, key_id=row.key_id, key=key, context=_context(row, "object"))


def destroy_decided_evidence() -> int:
    """Destroy the documents of all requests that are decided; outside transactions."""
    decided = Evidence.objects.exclude(request__status__in=UNDECIDED)
    return destroy_documents(decided.select_related("request").order_by("created_at"), most=MOST_AT_ONCE)


def destroy_documents(rows: QuerySet[Evidence], *, most: int | None = None) -> int:
    """Destroy keys, then objects; outside transactions. A repeat goes on where it broke off."""
    left = rows.filter(Q(destroyed_at__isnull=True) | ~Q(sealed=b""))
    return sum(_destroy(row) for row in list(left[:most]))


def _destroy(row: Evidence) -> int:
    if row.destroyed_at is None:
        result = keys.erase_keys([row.key_id], about=row.request.handle, actor=Actor.system())
        with transaction.atomic():
            if Evidence.objects.filter(pk=row.pk, destroyed_at__isnull=True).update(destroyed_at=result.destroyed_at):
                audit.append(Event.EVIDENCE_DESTROYED, about=row.request.handle, actor=Actor.system(), documents=1)
    objects.delete(row.object_name)
    Evidence.objects.filter(pk=row.pk).update(sealed=b"", stored=False)
    return 1


def _context(row: Evidence, field: str) -> bytes:
    return associated_data("requests", row.key_id, "Evidence", field, row.pk)
