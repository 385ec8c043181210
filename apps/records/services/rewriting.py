"""Writing a conversation anew under another key, without a part of it, and destroying the old key (DESIGN §2).

The copy is made beside the conversation, in short transactions, and takes its place in one, together with the intent that
names what is removed; then the old key goes, then the old rows. A run that was killed is finished by the next one:
`finish_rewrites`. Until the copy takes the place nothing has changed; from then on nobody sees the old one.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.services import KeyKind
from apps.locations.errors import LocationError
from apps.records import contexts, rows
from apps.records.changes import Change, changed_at, trimmed
from apps.records.drafts import pack_node, unpack_node
from apps.records.errors import (
    Contention,
    ConversationNotFound,
    ConversationsHeld,
    RecordsError,
    SubjectRestricted,
)
from apps.records.importers.display import REMOVED_AT, text_of
from apps.records.importers.types import Node
from apps.records.models import Attachment, Conversation, Message, Rewrite, Subject
from apps.records.opening import open_nodes
from apps.records.services.deleting import finish_deletions, purge_conversations
from apps.records.services.holds import held_conversations, held_until
from apps.records.services.rewriting_files import copy_file, is_on_its_way, name_of_copy
from apps.records.subjects import lock_for_writing
from apps.sealing import content
from apps.sealing.aead import Box

ATTEMPTS = 4  # when an import writes to the conversation meanwhile
LEFT_BEHIND_AFTER = timedelta(minutes=10)  # longer than a page waits for its answer
BATCH_BYTES = 8 * 1024 * 1024  # opened and sealed together, about

log = logging.getLogger(__name__)


class _Changed(Exception):
    """Something was written to the old conversation after its copy began."""


class _Gone(Exception):
    """Another run has finished it, or an erasure has taken it."""


def rewrite_conversation(subject: Subject, conversation_id: UUID, change: Change, *, actor: Actor) -> UUID:
    """Carry a change out and return the id under which the conversation is found from now on.

    Raises ConversationNotFound, ConversationsHeld, SubjectRestricted, SubjectFrozen (nothing has changed), Contention or
    what the storage raises (the nightly run makes up for it), NotSigned (changed, and the old key goes later). Call it
    outside transactions.
    """
    finish_rewrites(subject.pk)
    rewrite = _begin(subject, conversation_id, change, actor)
    return _finish(rewrite, actor)


def finish_rewrites(subject_id: UUID | None = None, *, begun_before: datetime | None = None) -> int:
    """Finish what was begun, of one person or of all, and return how many; safe to repeat."""
    open_ones = Rewrite.objects.filter(subject__frozen_at__isnull=True).select_related("subject").order_by("created_at")
    if subject_id is not None:
        open_ones = open_ones.filter(subject_id=subject_id)
    if begun_before is not None:
        open_ones = open_ones.filter(created_at__lt=begun_before)
    count = 0
    for rewrite in list(open_ones):
        try:
            _finish(rewrite, Actor.system())
            count += 1
        except (RecordsError, LocationError) as error:  # the others need not wait for it
            log.warning("%s could not be finished: %s", rewrite, type(error).__name__)
    return count


def resume_rewrites() -> int:
    """Finish what a run has left that must have been killed; the others are still at work."""
    return finish_rewrites(begun_before=timezone.now() - LEFT_BEHIND_AFTER)


def _begin(
    subject: Subject, conversation_id: UUID, change: Change, actor: Actor, *, instead_of: Rewrite | None = None
) -> Rewrite:
    """Write down what is to be done, in one transaction with its entry: the new key first."""
    with transaction.atomic():
        _lock(subject.pk, conversation_id)  # what is refused makes no key
    new_id, rewrite_id = _id_before(conversation_id), uuid4()
    above = Subject.objects.values_list("key_id", flat=True).get(pk=subject.pk)  # it may have been replaced since
    key = keys.create_key(KeyKind.CONVERSATION, owner=new_id, parent=above)
    sealed = content.seal_json(key.key, change.as_json(), context=contexts.rewrite(key.id, rewrite_id))
    try:
        with transaction.atomic():
            old = _lock(subject.pk, conversation_id)
            if instead_of is None:
                _append_entry(subject, change, actor)
            else:
                Rewrite.objects.filter(pk=instead_of.pk).delete()
            _blank_copy(old, new_id, key.id).save(force_insert=True)
            return Rewrite.objects.create(
                id=rewrite_id, subject=subject, old=old.pk, new=new_id, old_bytes=old.stored_bytes, sealed=sealed
            )
    except IntegrityError:
        keys.discard_key(key.id)
        raise Contention from None  # another change of the same conversation was faster
    except RecordsError:
        keys.discard_key(key.id)
        raise


def _id_before(conversation_id: UUID) -> UUID:
    """Return an id for the copy: next to the old one, so that a list or an export that is under way misses neither."""
    return UUID(int=(conversation_id.int - 1 - secrets.randbits(32)) % 2**128)


def _lock(subject_id: UUID, conversation_id: UUID) -> Conversation:
    """Lock the person and the conversation, and refuse what may not be changed."""
    subject = lock_for_writing(subject_id)
    if subject.restricted_at is not None:
        raise SubjectRestricted
    theirs = Conversation.objects.select_for_update(no_key=True).filter(subject=subject, erasing_at__isnull=True)
    found = theirs.filter(
        pk=conversation_id
    ).first()  # locked: no rotation brings its index under another key meanwhile
    if found is None:
        raise ConversationNotFound
    until = held_until(subject_id)
    if until is not None and held_conversations(subject_id).filter(pk=conversation_id).exists():
        raise ConversationsHeld(until)
    return found


def _blank_copy(old: Conversation, new_id: UUID, key_id: UUID) -> Conversation:
    """Return the row of the copy: hidden, and found by no import, until it takes the place."""
    return Conversation(
        id=new_id,
        subject_id=old.subject_id,
        key_id=key_id,
        source=old.source,
        external_index=os.urandom(32),
        index_number=0,
        sealed=b"",
        started_at=old.started_at,
        updated_at=old.updated_at,
        erasing_at=timezone.now(),
    )


def _append_entry(subject: Subject, change: Change, actor: Actor) -> None:
    event = Event.MESSAGE_CORRECTED if change.corrected else Event.MESSAGES_REMOVED
    audit.append(
        event,
        about=subject.handle,
        actor=actor,
        conversations=1,
        messages=len(change.positions),
        attachments=len(change.files),
    )


def _finish(rewrite: Rewrite, actor: Actor) -> UUID:
    for _attempt in range(ATTEMPTS):
        try:
            if rewrite.intent is None:
                _copy_messages(rewrite)
                _copy_files(rewrite)
                _take_place(rewrite, actor)
            _destroy_old(rewrite, actor)
            return rewrite.new
        except _Changed:
            rewrite = _begin(rewrite.subject, rewrite.old, _change_of(rewrite), actor, instead_of=rewrite)
            finish_deletions(rewrite.subject_id)  # the copy that is out of date
        except _Gone:
            return _found(rewrite)
        except KeyDestroyed:
            keys.open_key(Subject.objects.values_list("key_id", flat=True).get(pk=rewrite.subject_id))
            return _found(rewrite)
        except (ConversationNotFound, ConversationsHeld, SubjectRestricted):
            Rewrite.objects.filter(pk=rewrite.pk, intent__isnull=True).delete()
            finish_deletions(rewrite.subject_id)
            raise
    raise Contention


def _found(rewrite: Rewrite) -> UUID:
    """Return the id of the new conversation that another run has put in its place; raises ConversationNotFound."""
    if not Conversation.objects.filter(pk=rewrite.new, erasing_at__isnull=True).exists():
        raise ConversationNotFound
    return rewrite.new


def _pair(rewrite: Rewrite) -> tuple[Conversation, Conversation]:
    """Return the old conversation and its copy."""
    found = {row.pk: row for row in Conversation.objects.filter(pk__in=[rewrite.old, rewrite.new])}
    if rewrite.new not in found:
        raise _Gone
    if rewrite.old not in found or found[rewrite.old].erasing_at is not None:
        raise ConversationNotFound
    return found[rewrite.old], found[rewrite.new]


def _change_of(rewrite: Rewrite) -> Change:
    row = Conversation.objects.filter(pk=rewrite.new).first()
    if row is None:
        raise _Gone
    key = keys.open_key(row.key_id)
    context = contexts.rewrite(row.key_id, rewrite.pk)
    return Change.from_json(content.unseal_json(key, rewrite.sealed, context=context))


def _copy_messages(rewrite: Rewrite) -> None:
    """Open and seal anew, a batch at a time; goes on where an earlier run stopped."""
    change = _change_of(rewrite)
    while True:
        old, new = _pair(rewrite)
        if new.node_count >= old.node_count:
            return
        limit = rows.rows_per_transaction()
        if old.stored_bytes:
            limit = max(1, min(limit, BATCH_BYTES * old.node_count // old.stored_bytes))
        found = Message.objects.filter(conversation_id=old.pk, position__gte=new.node_count).order_by("position")
        batch = list(found.values_list("position", "parent", "is_message", "sealed")[:limit])
        if not batch:
            raise _Changed
        made = _sealed_anew(batch, old, new, change)
        size = sum(len(row[-1]) for row in made)
        with transaction.atomic():
            _check_open(rewrite)
            grown = {"node_count": batch[-1][0] + 1, "stored_bytes": F("stored_bytes") + size}
            if Conversation.objects.filter(pk=new.pk, node_count=new.node_count).update(**grown):
                rows.insert_messages(made)


def _sealed_anew(
    batch: Iterable[tuple[int, int | None, bool, bytes | memoryview]],
    old: Conversation,
    new: Conversation,
    change: Change,
) -> list[rows.Row]:
    opened = keys.open_keys([old.key_id, new.key_id])
    unseal, seal = Box(opened[old.key_id]).unseal, Box(opened[new.key_id]).seal
    before, after = contexts.messages(old.key_id, old.pk), contexts.messages(new.key_id, new.pk)
    made: list[rows.Row] = []
    for position, parent, is_message, sealed in batch:
        packed = unseal(sealed, context=contexts.message(before, position))
        if position in change.positions:
            packed = pack_node(change.apply(position, unpack_node(packed)))
        made.append((new.pk, position, parent, is_message, seal(packed, context=contexts.message(after, position))))
    return made


def _check_open(rewrite: Rewrite) -> None:
    """Hold the person's lock, and stop if another run finished this or an erasure took it."""
    lock_for_writing(rewrite.subject_id)
    if not Rewrite.objects.select_for_update().filter(pk=rewrite.pk, intent__isnull=True).exists():
        raise _Gone


def _copy_files(rewrite: Rewrite) -> None:
    old, new = _pair(rewrite)
    gone = set(_change_of(rewrite).files)
    for row in Attachment.objects.filter(conversation=old, stored=True).order_by("created_at", "pk"):
        if row.pk not in gone:
            copy_file(row, old, new, check=lambda: _check_open(rewrite))


def _take_place(rewrite: Rewrite, actor: Actor) -> None:
    """Put the copy in the place of the old conversation, with the intent that names what is removed."""
    change = _change_of(rewrite)
    going = _nodes_that_go(rewrite, change)
    words = ["\n".join(part.text for part in text_of(node)) for node in going.values()]
    counted = Message.objects.filter(conversation=rewrite.old, position__in=change.removed, is_message=True)
    fewer = sum(changed_at(going[one], REMOVED_AT) is None for one in counted.values_list("position", flat=True))
    with transaction.atomic():
        old = _lock(rewrite.subject_id, rewrite.old)
        _check_open(rewrite)
        new = Conversation.objects.filter(pk=rewrite.new).get()
        if old.stored_bytes != rewrite.old_bytes or new.node_count != old.node_count or _files_differ(old, new, change):
            raise _Changed
        intent = keys.intend_destruction(
            [old.key_id], about=rewrite.subject.handle, actor=actor, reason="replaced", removed=change.row_ids
        )
        Conversation.objects.filter(pk=old.pk).update(
            external_index=os.urandom(32), index_number=0, erasing_at=timezone.now()
        )
        Conversation.objects.filter(pk=new.pk).update(
            external_index=old.external_index,
            index_number=old.index_number,
            sealed=_header(old, new, words),
            updated_at=old.updated_at,
            message_count=max(old.message_count - fewer, 0),
            imported_at=old.imported_at,
            erasing_at=None,
        )
        rewrite.intent = intent.pk
        rewrite.save(update_fields=["intent"])


def _nodes_that_go(rewrite: Rewrite, change: Change) -> dict[int, Node]:
    old, _new = _pair(rewrite)
    return open_nodes(old, Box(keys.open_key(old.key_id)), sorted(change.positions))


def _header(old: Conversation, new: Conversation, words: list[str]) -> bytes:
    """Seal title and header anew, without what they repeat of the words that go."""
    opened = keys.open_keys([old.key_id, new.key_id])
    context = contexts.conversation(old.key_id, old.pk)
    head = content.unseal_json(opened[old.key_id], old.sealed, context=context)
    less = trimmed({name: head[name] for name in ("title", "header")}, words)
    if any(less[name] != head[name] for name in less):
        head |= less | {"is_trimmed": True}
    return content.seal_json(opened[new.key_id], head, context=contexts.conversation(new.key_id, new.pk))


def _files_differ(old: Conversation, new: Conversation, change: Change) -> bool:
    """Say whether a file came in, or is coming in, since the others were copied."""
    theirs = Attachment.objects.filter(conversation=old)
    wanted = {name_of_copy(new.pk, pk) for pk in theirs.filter(stored=True).values_list("pk", flat=True)}
    wanted -= {name_of_copy(new.pk, pk) for pk in change.files}
    there = set(Attachment.objects.filter(conversation=new, stored=True).values_list("pk", flat=True))
    return wanted != there or is_on_its_way(theirs)


def _destroy_old(rewrite: Rewrite, actor: Actor) -> None:
    intent = Entry.objects.filter(pk__in=[rewrite.intent]).get()
    keys.carry_out(intent, actor=actor)
    purge_conversations(list(Conversation.objects.filter(pk=rewrite.old)))
    Rewrite.objects.filter(pk=rewrite.pk).delete()
