"""Writing to the log: an entry goes into the transaction of the change it records, and its signature is waited for
before anything that cannot be undone."""

from __future__ import annotations

import time

from django.db import transaction

from apps.audit import selectors, sequencer
from apps.audit.entries import append, canonical_json
from apps.audit.errors import InsideTransaction, NotSigned
from apps.audit.models import Checkpoint, Entry

__all__ = ["append", "canonical_json", "sequence", "wait_until_signed"]

SIGNING_TIMEOUT = 10.0
POLL_SECONDS = 0.02
MOST_ENTRIES = 10_000  # a run, so that a checkpoint is never far away


def sequence(limit: int = MOST_ENTRIES) -> Checkpoint:
    """Give committed entries their place, sign and publish. Safe to run twice at once, and to repeat after a crash.

    Raises InsideTransaction, or NotSigned (LogDiverged, PublishingFailed) when nothing was signed.
    """
    _refuse_inside_transaction()
    return sequencer.run(limit)


def wait_until_signed(entry: Entry, timeout: float = SIGNING_TIMEOUT) -> None:
    """Return once the entry is in a signed checkpoint outside the database; sequences by itself.

    Raises InsideTransaction, or NotSigned when that did not come about in `timeout` seconds.
    """
    _refuse_inside_transaction()
    deadline = time.monotonic() + timeout
    while not selectors.is_signed(entry):
        newest = sequence()
        if selectors.is_signed(entry, newest):
            return
        if time.monotonic() >= deadline:
            raise NotSigned(f"entry {entry.pk} was not signed within {timeout:g} s")
        time.sleep(POLL_SECONDS)


def _refuse_inside_transaction() -> None:
    if transaction.get_connection().in_atomic_block:
        raise InsideTransaction("what is signed must be committed first")
