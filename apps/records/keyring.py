"""A person's own key, which may be replaced at any time: whoever holds a row read before asks once more.

The key of a row and the id that names it belong together. So these set `key_id` on the row that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.services import KeyKind, NewKey
from apps.records.models import Subject
from apps.sealing.errors import DecryptionError

T = TypeVar("T")


def open_subject_key(subject: Subject) -> bytes:
    """Return the key that `subject.key_id` names; raises KeyDestroyed once an erasure has taken it."""
    return _again_if_replaced(subject, lambda: keys.open_key(subject.key_id))


def read_under_key(subject: Subject, read: Callable[[bytes], T]) -> T:
    """Return what `read` makes of the key: it reads rows sealed under it, and may be called twice."""
    return _again_if_replaced(subject, lambda: read(keys.open_key(subject.key_id)))


def create_keys_below(subject: Subject, kind: KeyKind, owners: Sequence[UUID]) -> list[NewKey]:
    """Make keys below the person's own; all are committed on return."""
    return _again_if_replaced(subject, lambda: keys.create_keys(kind, owners, parent=subject.key_id))


def is_named_still(subject: Subject, locked: Subject) -> bool:
    """Say whether what was sealed under `subject.key_id` may be written: `locked` is the row, locked for writing.

    If not, `subject` names the new key, and the caller seals again.
    """
    same = subject.key_id == locked.key_id
    subject.key_id = locked.key_id
    return same


def _again_if_replaced(subject: Subject, work: Callable[[], T]) -> T:
    while True:
        try:
            return work()
        except (KeyDestroyed, DecryptionError):
            current = Subject.objects.filter(pk=subject.pk).values_list("key_id", flat=True).first()
            if current is None or current == subject.key_id:
                raise
            subject.key_id = current
