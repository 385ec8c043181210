"""Does the keys database belong to the records database, and is everything a tombstone that the log says is destroyed?

Looked at when a process starts (settings.QUARANTINE_CHECKS). The keys database notes up to which entry of the log that was
seen, so that a start reads only what is newer; restored alone, it has an older note with it, and what lacks comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from uuid import UUID

from apps.audit import quarantine, selectors
from apps.audit.entries import hash_of
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.quarantine import Reason
from apps.audit.sequencer import log_size
from apps.keys.intents import named_keys
from apps.keys.models import Key
from apps.keys.services.installing import installation, note_log_size

EVENTS = (Event.KEYS_INTENDED, Event.KEYS_DESTROYED)
IDS_A_QUERY = 500


def check_keys() -> str:
    """Compare the two databases; returns a Reason, or "". A new site writes down to which installation it belongs."""
    records = quarantine.state()  # first: another process may note both meanwhile, and the keys never lag behind then
    ours = installation()
    if records.installation is None:
        quarantine.adopt_installation(ours.pk)
    elif records.installation != ours.pk:
        return Reason.OTHER_INSTALLATION if Key.objects.exists() else Reason.KEYS_LOST
    size = log_size()
    if ours.log_size > size:
        return Reason.LOG_BEHIND
    if not all(_are_tombstones(ids) for ids in _destroyed_since(ours.log_size, size)):
        return Reason.TOMBSTONES_MISSING
    if ours.log_size < records.keys_seen:
        return Reason.KEYS_BEHIND
    note_log_size(size)
    quarantine.note_keys_seen(size)
    return ""


def _destroyed_since(first: int, size: int) -> Iterator[list[UUID]]:
    """Yield the keys that entries from `first` on say are destroyed.

    Only what an outcome stands behind: an intent without one is being carried out, or a crash cut it off, and whoever
    intended it goes on. The replay after a restore takes it as the tombstone that it is.
    """
    rows = Entry.objects.filter(leaf__index__gte=first, leaf__index__lt=size, event__in=EVENTS).order_by("leaf__index")
    intents: dict[str, Entry] = {}
    for entry in rows.iterator(1000):
        if entry.event == Event.KEYS_INTENDED:
            intents[hash_of(entry)] = entry
            continue
        hashed = selectors.details_of(entry)["intent"]
        intent = intents.pop(hashed, None) or _earlier_intent(entry.about, hashed)
        if intent is not None:
            yield list(named_keys(intent))


def _earlier_intent(about: str, hashed: str) -> Entry | None:
    newest_first = Entry.objects.filter(event=Event.KEYS_INTENDED, about=about).order_by("-pk")
    return next((entry for entry in newest_first.iterator(100) if hash_of(entry) == hashed), None)


def _are_tombstones(key_ids: Collection[UUID]) -> bool:
    rest = iter(set(key_ids))
    while some := list(islice(rest, IDS_A_QUERY)):
        if Key.objects.filter(pk__in=some, destroyed_at__isnull=False).count() != len(some):
            return False
    return True
