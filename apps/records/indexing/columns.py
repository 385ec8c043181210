"""Every column of the records that holds an index value, and how it is brought under a new key (settings.BLIND_INDEXES).

What a value stands for is opened and indexed anew: from the row itself where it is sealed there, from the place for watched
files and copies. Where nobody knows any more what it stands for, there is no way: such rows keep their key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, KeyStoreDamaged
from apps.locations.errors import LocationError
from apps.records import contexts
from apps.records.copies.checking import check_copy
from apps.records.copies.writing import store_of_policy
from apps.records.indexing.ring import CONVERSATION, COPY, IDENTITY, SOURCE_FILE, SUPPRESSION, Ring
from apps.records.models import Conversation, Copy, Forgotten, Identity, Source, SourceFile, Suppressed
from apps.records.services.storing import external_index
from apps.records.sources.files import name_index, names_in
from apps.records.subjects import identity_index
from apps.sealing import content
from apps.sealing.errors import DecryptionError

BATCH = 250


class Renewer(Protocol):
    def __call__(self, ring: Ring, rows: Sequence[Any]) -> int:
        """Bring these rows under the current key, and return how many were. What cannot be now is left as it is."""
        ...


@dataclass(frozen=True)
class Column:
    """`names`: the index, or with a - at its end how the names of several begin. `rows`: those that hold a value of one.

    `renewer` is made once for each run; None: what the values stand for is not known any more.
    """

    names: str
    number: str
    rows: Callable[[str], QuerySet]
    renewer: Callable[[], Renewer] | None = None
    is_forgettable: bool = False  # a row whose key is gone is of no use, and of no harm when it is missing
    asks_places: bool = False  # which may take long, or not answer
    batch: int = BATCH

    def serves(self, name: str) -> bool:
        return name.startswith(self.names) if self.names.endswith("-") else name == self.names

    def before(self, name: str, number: int) -> QuerySet:
        """Return the rows that stand under a key before this one."""
        return self.rows(name).filter(**{f"{self.number}__gt": 0, f"{self.number}__lt": number}).order_by("pk")

    def under(self, name: str, number: int) -> QuerySet:
        return self.rows(name).filter(**{self.number: number})

    def under_none(self, name: str, numbers: Collection[int]) -> QuerySet:
        """Return the rows whose key is not among these."""
        return self.rows(name).exclude(**{f"{self.number}__in": [0, *numbers]})


def open_living(key_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Open those that open: what belongs to an erasure that is under way has no key any more."""
    try:
        return keys.open_keys(key_ids)
    except (KeyDestroyed, KeyStoreDamaged):
        opened: dict[UUID, bytes] = {}
        for key_id in key_ids:
            try:
                opened |= keys.open_keys([key_id])
            except (KeyDestroyed, KeyStoreDamaged):
                continue
        return opened


def save_indexes(rows: QuerySet, ring: Ring, index: str, number: str, values: dict[Any, bytes]) -> int:
    """Write new index values, in one transaction, on the rows that are still as they were; return on how many.

    A row on which somebody else works is skipped, so that neither waits for the other: a later run comes back to it.
    """
    with transaction.atomic():
        if not ring.is_held():
            return 0
        older = {"pk__in": list(values), f"{number}__gt": 0, f"{number}__lt": ring.number}
        found = list(rows.select_for_update(skip_locked=True).filter(**older).order_by("pk"))
        for row in found:
            setattr(row, index, values[row.pk])
            setattr(row, number, ring.number)
        rows.bulk_update(found, [index, number])
    return len(found)


def _renew_identities(ring: Ring, rows: Sequence[Identity]) -> int:
    opened = open_living({row.subject.key_id for row in rows})
    values: dict[UUID, bytes] = {}
    for row in rows:
        context = contexts.identity(row.subject.key_id, row.pk)
        value = _unsealed(opened.get(row.subject.key_id), row.sealed, context)
        if value is not None:
            values[row.pk] = identity_index(ring.key, row.kind, value)
    return save_indexes(Identity.objects.all(), ring, "index", "index_number", values)


def _renew_conversations(ring: Ring, rows: Sequence[Conversation]) -> int:
    opened = open_living({row.key_id for row in rows})
    values: dict[UUID, bytes] = {}
    for row in rows:
        head = _unsealed(opened.get(row.key_id), row.sealed, contexts.conversation(row.key_id, row.pk))
        if head is not None:
            values[row.pk] = external_index(ring.key, row.subject_id, head["id"])
    return save_indexes(Conversation.objects.all(), ring, "external_index", "index_number", values)


def _unsealed(key: bytes | None, sealed: bytes | memoryview, context: bytes) -> Any:
    """Open what is sealed on a row; None if that is not possible now: its key was replaced, or is gone."""
    if key is None:
        return None
    try:
        return content.unseal_json(key, sealed, context=context)
    except DecryptionError:
        return None


class _SourceFiles:
    """The names are in the place: it is asked for them. What is not there any more need not be known."""

    def __init__(self) -> None:
        self._asked: set[UUID] = set()

    def __call__(self, ring: Ring, rows: Sequence[SourceFile]) -> int:
        return sum(self._of(ring, row.source) for row in rows if row.source_id not in self._asked)

    def _of(self, ring: Ring, source: Source) -> int:
        self._asked.add(source.pk)
        try:
            names, done = names_in(source), 0
            while some := list(islice(names, BATCH)):
                done += _rename(ring, source, some)
        except LocationError:
            return 0  # a later run asks again
        gone = SourceFile.objects.filter(source=source, index_number__lt=ring.number)
        return done + gone.delete()[0]


def _rename(ring: Ring, source: Source, names: Sequence[str]) -> int:
    new = {older: name_index(ring.key, name) for name in names for older in ring.older(partial(name_index, name=name))}
    rows = SourceFile.objects.filter(source=source, index__in=list(new))
    values = {row.pk: new[bytes(row.index)] for row in rows}
    return save_indexes(SourceFile.objects.all(), ring, "index", "index_number", values)


class _Copies:
    """What a copy's hash is made of lies in its place: it is read again, as a check does."""

    def __init__(self) -> None:
        self._away: set[UUID] = set()

    def __call__(self, ring: Ring, rows: Sequence[Copy]) -> int:
        return sum(self._read(row) for row in rows if row.policy_id not in self._away)

    def _read(self, row: Copy) -> bool:
        try:
            check_copy(row.policy, store_of_policy(row.policy), row)
        except LocationError:
            self._away.add(row.policy_id)  # a later run asks again
            return False
        return not Copy.objects.filter(pk=row.pk, mac_number=row.mac_number, doomed_at=None).exists()


IDENTITIES = Column(
    IDENTITY,
    "index_number",
    lambda name: Identity.objects.filter(kind=name.removeprefix(IDENTITY)).select_related("subject"),
    lambda: _renew_identities,
)
CONVERSATIONS = Column(
    CONVERSATION, "index_number", lambda name: Conversation.objects.all(), lambda: _renew_conversations
)
FORGOTTEN = Column(CONVERSATION, "index_number", lambda name: Forgotten.objects.all(), is_forgettable=True)
SOURCE_FILES = Column(
    SOURCE_FILE,
    "index_number",
    lambda name: SourceFile.objects.select_related("source__location"),
    _SourceFiles,
    is_forgettable=True,
    asks_places=True,
)
COPIES = Column(
    COPY,
    "mac_number",
    lambda name: Copy.objects.filter(stored=True, doomed_at=None).select_related("policy__destination"),
    _Copies,
    asks_places=True,
    batch=5,
)
SUPPRESSED = Column(SUPPRESSION, "index_number", lambda name: Suppressed.objects.all(), is_forgettable=True)
