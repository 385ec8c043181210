"""The keys of a blind index that are in use: the current one, under which is written, and those before it.

While an index is brought under a new key, a value is looked for under each of them, and what is unique must be so under all
of them together. So whoever writes an index value asks `is_held` in the transaction: from there to the commit no rotation
begins. Whoever found nothing asks `is_current`: the row may have been brought under a key that was not there yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connection, transaction

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.services import KeyKind
from apps.records.indexing.models import IndexKey

CONVERSATION, SOURCE_FILE, COPY, SUPPRESSION = "conversation", "source-file", "copy", "suppression"
IDENTITY = "identity-"  # and the kind of identity


@dataclass(frozen=True)
class Ring:
    """The opened keys of one index by their numbers, the current one first."""

    name: str
    keys: dict[int, bytes] = field(repr=False)

    @property
    def number(self) -> int:
        """Return the number of the key under which is written."""
        return next(iter(self.keys))

    @property
    def key(self) -> bytes:
        return self.keys[self.number]

    def all(self, make: Callable[[bytes], bytes]) -> list[bytes]:
        """Return what `make` makes of each key: all index values under which a row may stand, the current one first."""
        return [make(key) for key in self.keys.values()]

    def older(self, make: Callable[[bytes], bytes]) -> list[bytes]:
        return self.all(make)[1:]

    def is_held(self) -> bool:
        """Say, inside a transaction of the records, whether these are the keys in use; that stays so until the commit.

        A rotation changes the row of the current key and so waits for this lock; writers share it. SQLite's transactions
        are IMMEDIATE: nobody else writes meanwhile.
        """
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM records_indexkey WHERE name = %s FOR SHARE", [self.name])
        return self.is_current()

    def is_current(self) -> bool:
        """Say whether these are still the keys in use."""
        return list(self.keys) == [row.number for row in _in_use(self.name)]


def open_ring(name: str) -> Ring:
    """Open the keys of an index; the first one is made on first use."""
    while True:
        rows = _in_use(name) or _first(name)
        try:
            opened = keys.open_keys([row.key_id for row in rows])
        except KeyDestroyed:
            if rows == _in_use(name):
                raise
            continue  # a rotation has ended this very moment
        return Ring(name, {row.number: opened[row.key_id] for row in rows})


def make_key(name: str, number: int) -> keys.NewKey:
    """Make the key of that number, or return the one that is there: a repeat after a crash finds it."""
    kind, name = (KeyKind.SUPPRESSION, "identities") if name == SUPPRESSION else (KeyKind.BLIND_INDEX, name)
    return keys.named(kind, name if number == 1 else f"{name}#{number}")


def _in_use(name: str) -> list[IndexKey]:
    return list(IndexKey.objects.filter(name=name, ended_at__isnull=True).order_by("-number"))


def _first(name: str) -> list[IndexKey]:
    made = make_key(name, 1)  # the key first: another database
    with transaction.atomic():
        IndexKey.objects.get_or_create(name=name, number=1, defaults={"key_id": made.id})
    return _in_use(name)
