"""A new log in the place of one that cannot be completed (DESIGN §3): other name, and a first entry that names the old one.

What is left of the old log follows that entry in its order, so that every entry has a place and a signature again, and
whoever kept a checkpoint of the old log can compare it with that; intents are named by their hashes and stay what they are.
The old log's files are kept beside the new ones, as they were found.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.audit import publishing, quarantine, selectors, sequencer, tiles, triggers
from apps.audit.actors import Actor
from apps.audit.entries import append
from apps.audit.errors import LogDamaged
from apps.audit.events import Event
from apps.audit.models import AnchorState, Checkpoint, Entry, Leaf, SiteState, Tile
from apps.audit.recognising import witnesses
from apps.sealing.signatures import SigningKey

BATCH = 1000
NOTHING = (0, b"\0" * 32)  # what is known of a log of which nothing is known


def last_checkpoint() -> tuple[int, bytes]:
    """Return size and root of the largest checkpoint of the log that is known."""
    return max(_known_checkpoints(), default=NOTHING)


def _known_checkpoints() -> list[tuple[int, bytes]]:
    """Return those published, in the database, anchored, or put away by an attempt to begin the next log that was broken off."""
    known = list(witnesses())
    put_away = publishing.put_away_checkpoint(quarantine.state().log_number)
    if put_away is not None:
        known.append((put_away.size, put_away.root))
    return known


def begin_new_log(*, officers: Sequence[str], instead_of: int) -> Entry:
    """Put the log away and begin the next one; returns its first entry. Outside transactions; a repeat after a crash is safe.

    `officers`: the handles of the two people who have signed that the gap is accepted. `instead_of`: the number of the
    log that they saw; if another request has put that one away already, its successor's first entry is returned.
    """

    def is_present() -> bool:
        return quarantine.state().log_number == instead_of

    known = _known_checkpoints()
    size, root = max(known, default=NOTHING)
    publishing.put_away(instead_of, Checkpoint.objects.order_by("-size").first(), is_present=is_present)
    with sequencer.exclusive():
        if not is_present():
            return Entry.objects.filter(event=Event.LOG_CONTINUED).latest("pk")
        is_left = _is_left_of(known)
        ids = _empty_tables()
        SiteState.objects.update(log_number=instead_of + 1)
        entry = append(
            Event.LOG_CONTINUED,
            about="",
            actor=Actor.system(),
            log_key=sequencer.signing_key().public,
            archive_key=SigningKey.from_seed(settings.ARCHIVE_SIGNING_KEY).public,
            number=instead_of + 1,
            size=size,
            root=root,
            kept=len(ids) if is_left else 0,
            officers=list(officers),
        )
        sequencer.place_first(entry)
        for first in range(0, len(ids), BATCH):
            sequencer.place_again(ids[first : first + BATCH])
        connection.check_constraints()  # PostgreSQL changes no trigger while rows wait to be checked
        triggers.install(connection)
    return entry


def _is_left_of(known: list[tuple[int, bytes]]) -> bool:
    """Say whether the placed entries are a beginning of the log that was signed, as far as its checkpoints can tell."""
    placed = sequencer.log_size()
    try:
        return all(tiles.tree_of(size).root() == root for size, root in known if size <= placed)
    except LogDamaged:
        return False


def _empty_tables() -> array[int]:
    """Empty the tables of places; return the ids of the entries that had one, in the log's order: eight bytes for each."""
    triggers.remove(connection)
    ids = array("q", Leaf.objects.order_by("index").values_list("entry_id", flat=True).iterator())
    for model in (Leaf, Tile, Checkpoint):
        rows = model._default_manager.all()
        rows._raw_delete(rows.db)
    AnchorState.objects.all().delete()  # the new log is to be left at each anchor from its beginning
    return ids


def sign_gap(*, actor: Actor) -> Entry:
    """Write that an officer accepts the gap: what the log held beyond its last known entry cannot be had again."""
    size, root = last_checkpoint()
    with transaction.atomic():
        details = {"size": size, "root": root, "kept": sequencer.log_size()}
        return append(Event.LOG_GAP_ACCEPTED, about="", actor=actor, **details)


def earlier_log() -> dict[str, Any] | None:
    """Return what the present log says of the one before it, or None for a site's first log."""
    entry = Entry.objects.filter(event=Event.LOG_CONTINUED).order_by("-pk").first()
    if entry is None:
        return None
    details = selectors.details_of(entry)
    return details | {"origin": selectors.origin(details["number"] - 1), "at": entry.created_at}
