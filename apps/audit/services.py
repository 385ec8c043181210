"""Writing to the log: an entry goes into the transaction of the change it records, and its signature is waited for
before anything that cannot be undone."""

from __future__ import annotations

import time

from django.db import transaction

from apps.audit import selectors, sequencer
from apps.audit.entries import append, canonical_json
from apps.audit.errors import InsideTransaction, NotSigned
from apps.audit.models import Checkpoint, Entry, Pending

__all__ = ["append", "canonical_json", "sequence", "wait_until_signed"]

SIGNING_TIMEOUT = 10.0
POLL_SECONDS = 0.02
MOST_ENTRIES = 2_000  # to a checkpoint: the first of many that wait is signed as soon as if it were one of few


def sequence(limit: int | None = None) -> Checkpoint:
    """Give committed entries their place, sign and publish. Safe to run twice at once, and to repeat after a crash.

    Whatever waits at the beginning is in the checkpoint that is returned, with one for every 2,000 entries before it;
    `limit`: about so many, and one checkpoint. Raises InsideTransaction, or NotSigned (LogDiverged, PublishingFailed)
    when nothing was signed.
    """
    _refuse_inside_transaction()
    if limit is not None:
        return sequencer.run(limit)
    last = Pending.objects.order_by("-entry_id").values_list("entry_id", flat=True).first()
    before, checkpoint = None, sequencer.run(MOST_ENTRIES)
    while last is not None and checkpoint != before and Pending.objects.filter(entry_id__lte=last).exists():
        before, checkpoint = checkpoint, sequencer.run(MOST_ENTRIES)
    return checkpoint


def wait_until_signed(entry: Entry, timeout: float = SIGNING_TIMEOUT) -> None:
    """Return once the entry is in a signed checkpoint outside the database; sequences by itself.

    Raises InsideTransaction, or NotSigned when that did not come about in `timeout` seconds.
    """
    _refuse_inside_transaction()
    deadline = time.monotonic() + timeout
    while not selectors.is_signed(entry):
        newest = sequence(MOST_ENTRIES)
        if selectors.is_signed(entry, newest):
            return
        if time.monotonic() >= deadline:
            raise NotSigned(f"entry {entry.pk} was not signed within {timeout:g} s")
        time.sleep(POLL_SECONDS)


def _refuse_inside_transaction() -> None:
    if transaction.get_connection().in_atomic_block:
        raise InsideTransaction("what is signed must be committed first")
