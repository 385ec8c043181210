"""Storing conversations: key first, then content, in short transactions that stop at a frozen person (DESIGN §2, §5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import DETAILS, Event
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.services import KeyKind, NewKey
from apps.records import rows
from apps.records.drafts import Draft, Held, Plan, Write, make_draft, plan_new, plan_update
from apps.records.errors import Contention
from apps.records.importers.types import ParsedConversation, Skipped
from apps.records.indexing.ring import CONVERSATION, Ring, open_ring
from apps.records.keyring import create_keys_below, open_subject_key
from apps.records.models import Conversation, Message, Subject
from apps.records.reports import Commit, ImportReport
from apps.records.services.attachments import store_attachments
from apps.records.services.deleting import finish_deletions
from apps.records.subjects import check_writable, lock_for_writing
from apps.sealing import blind
from apps.sealing.errors import UnpackableValue

BATCH_BYTES = 8 * 1024 * 1024  # packed; more is not held in memory before it is written
BATCH_CONVERSATIONS = 250
ATTEMPTS = 4  # when another import of the same conversation comes between


OnCommit = Callable[
    [Commit], None
]  # called inside each transaction, so that progress is committed with what was stored


@dataclass(frozen=True)
class AsItWas:
    """The id and the key that a lost conversation had. With them it is erased together with every copy there is of it."""

    conversation_id: UUID
    key: NewKey


class _Stale(Exception):
    """Another import wrote the same conversation between our look and our lock."""


def store_conversations(
    subject: Subject,
    parsed: Iterable[ParsedConversation | Skipped],
    *,
    actor: Actor,
    source: str = "",
    import_id: UUID | None = None,
    on_commit: OnCommit | None = None,
    report: ImportReport | None = None,
    as_it_was: AsItWas | None = None,
) -> ImportReport:
    """Store what a reader yields and return the counts; a repeat adds only what is new.

    `source` is the format, for conversations that do not say it themselves; `report` goes on with what an earlier run
    has counted; `as_it_was`: of a single one that comes back from a copy. Raises SubjectFrozen or RecordingNotAllowed,
    then what was committed before stays. Call it outside transactions.
    """
    store = _Store(subject, actor, source, import_id, on_commit, report or ImportReport(format=source), as_it_was)
    for item in parsed:
        store.take(item)
    store.finish()
    return store.report


class _Store:
    def __init__(
        self,
        subject: Subject,
        actor: Actor,
        source: str,
        import_id: UUID | None,
        on_commit: OnCommit | None,
        report: ImportReport,
        as_it_was: AsItWas | None = None,
    ) -> None:
        self.subject, self.actor, self.source, self.import_id = subject, actor, source, import_id
        self.on_commit, self.as_it_was = on_commit, as_it_was
        self.report = report
        self.batch: dict[bytes, Draft] = {}
        self.rows = self.bytes = 0  # of the batch
        self.waiting = Commit()  # counted, not yet committed: what needed no write
        self.taken = 0
        self.ring = open_ring(CONVERSATION)

    def take(self, item: ParsedConversation | Skipped) -> None:
        """Take one item in; a batch is written when it is full."""
        self.taken += 1
        if isinstance(item, Skipped):
            self._skip(item.what, item.why)
            return
        try:
            draft = make_draft(item, index=self._index(item.external_id), source=self.source, now=timezone.now())
        except UnpackableValue:
            self._skip(_("conversation %(number)s") % {"number": self.taken}, _("It holds values that cannot be kept."))
            return
        if draft.index in self.batch:  # the same conversation in two shards: one after the other
            self.flush()
        self.batch[draft.index] = draft
        self.rows += len(draft.packed) + 1
        self.bytes += draft.size
        full = self.rows >= rows.rows_per_transaction() or self.bytes >= BATCH_BYTES
        if full or draft.attachments or len(self.batch) >= BATCH_CONVERSATIONS:
            self.flush()

    def finish(self) -> None:
        self.flush()
        if self.waiting and self.on_commit is not None:
            with transaction.atomic():
                self.on_commit(self.waiting)

    def flush(self) -> None:
        """Write the batch. What another import wrote in the meantime is looked up again."""
        if self.batch:
            check_writable(self.subject.pk)
        for _attempt in range(ATTEMPTS):
            try:
                self._write_batch()
                break
            except _Stale:
                self._renew_ring()
        else:
            raise Contention
        self.batch.clear()
        self.rows = self.bytes = 0

    def _write_batch(self) -> None:
        plans = self._plans()
        try:
            for group in _groups(plans):
                self._write(group)
        except _Stale:
            for plan in plans:
                if plan.is_new and self.as_it_was is None:
                    keys.discard_key(plan.key_id)
            raise
        for plan in plans:
            if plan.draft.attachments:  # only ever the last one of a batch
                self._store_attachments(plan)

    def _plans(self) -> list[Plan]:
        drafts = list(self.batch.values())
        held = self._held_rows()
        if any(row.erasing_at is not None for row in held.values()):  # it comes again while it is on its way out
            finish_deletions(self.subject.pk, actor=self.actor)
            held = self._held_rows()
        opened = self._open(held.values())
        new = [draft for draft in drafts if draft.index not in held]
        fresh = {draft.index: place for draft, place in zip(new, self._places(len(new)), strict=True)}
        plans = []
        for draft in drafts:
            if draft.index in fresh:
                owner, key = fresh[draft.index]
                plans.append(plan_new(draft, conversation_id=owner, key_id=key.id, key=key.key))
            else:
                row = held[draft.index]
                plans.append(plan_update(draft, _held(row, opened[row.key_id])))
        return plans

    def _places(self, count: int) -> list[tuple[UUID, NewKey]]:
        """Return an id and a key for each new conversation."""
        if self.as_it_was is not None:
            return [(self.as_it_was.conversation_id, self.as_it_was.key)] * count
        owners = [uuid4() for _ in range(count)]
        made = create_keys_below(self.subject, KeyKind.CONVERSATION, owners) if owners else []
        return list(zip(owners, made, strict=True))

    def _open(self, held: Iterable[Conversation]) -> dict[UUID, bytes]:
        try:
            return keys.open_keys([row.key_id for row in held])
        except KeyDestroyed:
            open_subject_key(self.subject)  # an erasure of everything ends here
            raise _Stale from None  # one of them was erased this very moment

    def _held_rows(self) -> dict[bytes, Conversation]:
        """Return what is held of the batch, by the index under the current key; it may stand under one before it."""
        drafts = self.batch.values()
        wanted = {
            index: one.index
            for one in drafts
            for index in external_indexes(self.ring, self.subject.pk, one.external_id)
        }
        found = Conversation.objects.filter(subject=self.subject, external_index__in=list(wanted))
        return {wanted[bytes(row.external_index)]: row for row in found}

    def _write(self, group: Sequence[_Part]) -> None:
        """Seal first, then write in one short transaction."""
        commit = _commit_of(group)
        parts = [part for part in group if not part.plan.is_empty]
        if not parts:
            self._count(commit)
            return
        sealed = [(part, list(part.plan.seal_rows(part.writes))) for part in parts]
        headers = [part.plan.seal_header() if part.sets_header else None for part in parts]
        sizes = [sum(len(row[-1]) for row in sealed_rows) for _part, sealed_rows in sealed]
        try:
            with transaction.atomic():
                lock_for_writing(self.subject.pk, recording=True)
                if any(part.creates for part in parts) and not self.ring.is_held():
                    raise _Stale
                self._write_conversations(parts, headers, sizes)
                rows.insert_messages(list(_rows(sealed, is_new=True)))
                rows.replace_messages(list(_rows(sealed, is_new=False)))
                self._append_entry(commit)
                if self.on_commit is not None:
                    self.on_commit(self.waiting + commit)
        except IntegrityError:
            raise _Stale from None
        if self.on_commit is not None:
            self.waiting = Commit()
        self.report.add(commit)
        for part in parts:
            part.plan.messages += part.added
            part.plan.nodes += part.new_nodes
            part.plan.is_new = False
            part.plan.draft.is_stored = True

    def _write_conversations(
        self, parts: Sequence[_Part], headers: Sequence[bytes | None], sizes: Sequence[int]
    ) -> None:
        new = []
        for part, header, size in zip(parts, headers, sizes, strict=True):
            if part.creates and header is not None:
                new.append(self._conversation(part, header, size))
            else:
                _update(part, header, size)
        Conversation.objects.bulk_create(new)

    def _conversation(self, part: _Part, header: bytes, size: int) -> Conversation:
        plan, draft = part.plan, part.plan.draft
        return Conversation(
            id=plan.conversation_id,
            subject=self.subject,
            key_id=plan.key_id,
            source=draft.source[:24],
            external_index=draft.index,
            index_number=self.ring.number,
            sealed=header,
            started_at=draft.started_at,
            updated_at=plan.updated_at,
            message_count=part.added,
            node_count=part.new_nodes,
            stored_bytes=size,
        )

    def _store_attachments(self, plan: Plan) -> None:
        count = store_attachments(self.subject, plan, skip=self.report.skip, actor=self.actor, import_id=self.import_id)
        is_stored = plan.draft.is_stored or count > 0
        self._count(Commit(int(is_stored), 0, count, int(not is_stored), items=1))

    def _append_entry(self, commit: Commit) -> None:
        known = DETAILS[Event.CONVERSATIONS_IMPORTED]["format"]
        audit.append(
            Event.CONVERSATIONS_IMPORTED,
            about=self.subject.handle,
            actor=self.actor,
            import_id=self.import_id,
            format=self.source if self.source in getattr(known, "values", ()) else None,
            conversations=commit.conversations,
            messages=commit.messages,
        )

    def _count(self, commit: Commit) -> None:
        """Count what needed no transaction of its own; it is committed with the next one."""
        self.report.add(commit)
        self.waiting = self.waiting + commit

    def _skip(self, what: str, why: str) -> None:
        self.flush()  # items are counted in their order
        self.report.skip(what, why)
        self.waiting = self.waiting + Commit(items=1)

    def _index(self, external_id: str) -> bytes:
        return external_index(self.ring.key, self.subject.pk, external_id)

    def _renew_ring(self) -> None:
        """A rotation may have begun since: then the batch is looked for, and written, under the new key."""
        if not self.ring.is_current():
            self.ring = open_ring(CONVERSATION)
            for draft in self.batch.values():
                draft.index = self._index(draft.external_id)
            self.batch = {draft.index: draft for draft in self.batch.values()}


def external_index(key: bytes, subject_id: UUID, external_id: str) -> bytes:
    """Return the blind index of the id that another system gave to a person's conversation."""
    return blind.index(key, CONVERSATION, f"{subject_id}:{external_id}", exact=True)


def external_indexes(ring: Ring, subject_id: UUID, external_id: str) -> list[bytes]:
    """Return every index value under which the conversation may stand, the current one first."""
    return ring.all(partial(external_index, subject_id=subject_id, external_id=external_id))


@dataclass(slots=True)
class _Part:
    """A run of one plan's writes, small enough for a transaction."""

    plan: Plan
    writes: Sequence[Write]
    creates: bool  # the conversation's row
    is_last: bool

    @property
    def sets_header(self) -> bool:
        return self.creates or (self.is_last and self.plan.header is not None)

    @property
    def added(self) -> int:
        return sum(write.is_new and write.is_message for write in self.writes)

    @property
    def new_nodes(self) -> int:
        return sum(write.is_new for write in self.writes)


def _commit_of(group: Iterable[_Part]) -> Commit:
    """Count what a transaction adds. A conversation with files is done when they are there."""
    commit = Commit()
    for part in group:
        done = part.is_last and not part.plan.draft.attachments
        is_stored = part.plan.draft.is_stored or not part.plan.is_empty
        commit.messages += part.added
        commit.items += done
        commit.conversations += done and is_stored
        commit.already_held += done and not is_stored
    return commit


def _parts(plan: Plan, limit: int) -> Iterator[_Part]:
    """Cut a plan into parts; one without writes is a part as well, so that conversations are counted in their order."""
    starts = range(0, max(len(plan.writes), 1), limit)
    for start in starts:
        writes = plan.writes[start : start + limit]
        yield _Part(plan, writes, plan.is_new and start == 0, start == starts[-1])


def _groups(plans: Iterable[Plan]) -> Iterator[list[_Part]]:
    """Gather parts into transactions."""
    limit = rows.rows_per_transaction()
    group: list[_Part] = []
    size = 0
    for plan in plans:
        for part in _parts(plan, limit):
            if group and (size + len(part.writes) > limit or part.plan is group[-1].plan):
                yield group
                group, size = [], 0
            group.append(part)
            size += len(part.writes) + 1
    if group:
        yield group


def _update(part: _Part, header: bytes | None, size: int) -> None:
    """Change a conversation's row, if it still is as it was when the plan was made."""
    plan = part.plan
    changes: dict[str, Any] = {
        "message_count": plan.messages + part.added,
        "node_count": plan.nodes + part.new_nodes,
        "stored_bytes": F("stored_bytes") + size,
        "revision": F("revision") + 1,
    }
    if part.is_last:
        changes["updated_at"] = plan.updated_at
    if header is not None:
        changes["sealed"] = header
    still = Conversation.objects.filter(pk=plan.conversation_id, node_count=plan.nodes, erasing_at__isnull=True)
    if not still.update(**changes):
        raise _Stale


def _rows(sealed: Iterable[tuple[_Part, list[rows.Row]]], *, is_new: bool) -> Iterator[rows.Row]:
    for part, sealed_rows in sealed:
        for write, row in zip(part.writes, sealed_rows, strict=True):
            if write.is_new is is_new:
                yield row


def _held(row: Conversation, key: bytes) -> Held:
    found = Message.objects.filter(conversation_id=row.pk).order_by("position").values_list("parent", "sealed")
    nodes = [(parent, bytes(sealed)) for parent, sealed in found]
    return Held(row.pk, row.key_id, key, row.message_count, row.node_count, row.updated_at, bytes(row.sealed), nodes)
