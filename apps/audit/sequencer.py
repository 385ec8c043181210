"""The sequencer: gives committed entries contiguous places, then signs and publishes what the database holds.

Two separate steps, each safe to run twice at once and to repeat after a crash:
1. under the sequencer's lock: places for the pending entries, tiles that became full, one commit;
2. after that commit: tiles to the folder, the checkpoint signed and put there too, then its row. So an entry counts as
   signed only once its bytes and the signature lie outside the database.
Only committed places are signed, places are never changed, and what was signed before is compared first: the log cannot
sign two checkpoints that contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.audit import merkle, notes, publishing, quarantine, selectors, tiles
from apps.audit.actors import Actor
from apps.audit.entries import append
from apps.audit.errors import LogBehind, LogDiverged, NotSigned
from apps.audit.events import Event
from apps.audit.models import Checkpoint, Entry, Leaf, Pending
from apps.sealing.signatures import SigningKey

BATCH = 500  # SQLite: a transaction stays far below 100 ms, as nobody else writes meanwhile
LARGE_BATCH = 2_000  # PostgreSQL: nobody waits for it, and each commit costs a sync
LOCK = 0x6861626561  # "habea", the number of the advisory lock
_INSERT = 'INSERT INTO audit_leaf ("index", entry_id, leaf_hash) '
_LISTS = "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[])"
_keys_in_log: set[tuple[bytes, bytes]] = set()  # pairs that this process has found to be the log's newest


def run(limit: int) -> Checkpoint:
    """Sequence about `limit` entries at most, then sign and publish. The first run begins the log."""
    quarantine.refuse()
    try:
        before, newest, size = _signed_so_far()
        _refuse_if_behind(before, newest, size)
        _note_signing_keys(size)
        last = Pending.objects.order_by("-entry_id").values_list("entry_id", flat=True).first()
        if last is None and newest and before and before.size == newest.size == size:
            return newest
        done = 0
        while last is not None and done < limit:
            wanted = min(_batch(), limit - done)
            taken = _sequence_batch(wanted, last)
            done += taken
            if taken < wanted:
                break
        return _sign()
    except OperationalError as error:
        raise NotSigned("the database did not let the sequencer in") from error
    except LogDiverged as error:  # the database was restored under a running process
        behind = isinstance(error, LogBehind)
        quarantine.enter(quarantine.Reason.LOG_BEHIND if behind else quarantine.Reason.LOG_DIFFERS)
        raise


def signing_key() -> SigningKey:
    return SigningKey.from_seed(settings.LOG_SIGNING_KEY)


def log_size() -> int:
    """Return how many entries have a place."""
    newest = Leaf.objects.order_by("-index").values_list("index", flat=True).first()
    return 0 if newest is None else newest + 1


def place_signed(entries_from: Callable[[int], list[Entry]]) -> int:
    """Give entries that were signed before their places again: called with the next place, under the lock."""
    with exclusive():
        return _place([(entry.pk, entry.data) for entry in entries_from(log_size())])


def place_first(entry: Entry) -> None:
    """Give the entry that begins a new log the first place; inside `exclusive`."""
    _place([(entry.pk, entry.data)])
    _keys_in_log.clear()


def place_again(ids: Sequence[int]) -> None:
    """Give entries that had places in an earlier log the next ones of this log, as they are given; inside `exclusive`."""
    found = dict(Entry.objects.filter(pk__in=ids).values_list("pk", "data"))
    _place([(pk, found[pk]) for pk in ids])


def _sequence_batch(limit: int, last: int) -> int:
    """Give entries up to the id `last` their places; return how many."""
    with exclusive():
        waiting = Entry.objects.filter(pending__entry_id__lte=last).order_by("pending__entry_id")
        return _place(list(waiting.values_list("pk", "data")[:limit]))


def _batch() -> int:
    return LARGE_BATCH if connection.vendor == "postgresql" else BATCH


def _place(entries: Sequence[tuple[int, bytes | memoryview]]) -> int:
    """Give the entries (id and bytes) the next places; inside the lock."""
    if not entries:
        return 0
    start = log_size()
    rows = [(start + n, pk, merkle.leaf_hash(bytes(data))) for n, (pk, data) in enumerate(entries)]
    with connection.cursor() as cursor:  # half of a busy log's time would go into making models of them
        if connection.vendor == "postgresql":  # three values, however many entries: thousands cost more than the insert
            cursor.execute(_INSERT + _LISTS, [list(column) for column in zip(*rows, strict=True)])
            cursor.execute("DELETE FROM audit_pending WHERE entry_id = ANY(%s)", [[pk for pk, _data in entries]])
        else:
            values = ", ".join(["(%s, %s, %s)"] * len(rows))
            cursor.execute(f"{_INSERT}VALUES {values}", [value for row in rows for value in row])
            Pending.objects.filter(entry_id__in=[pk for pk, _data in entries]).delete()
    tiles.complete_tiles(start, start + len(rows))
    return len(rows)


def _signed_so_far() -> tuple[notes.CheckpointText | None, Checkpoint | None, int]:
    """Return the published checkpoint, the newest row, the log's size: in this order, as each is at most the next."""
    return publishing.published(), Checkpoint.objects.order_by("-size").first(), log_size()


def _sign() -> Checkpoint:
    with publishing.publisher():
        before, newest, size = _signed_so_far()
        _refuse_if_behind(before, newest, size)
        _refuse_if_different(before, newest)
        if before and newest and before.size == newest.size == size:  # another one was quicker
            return newest
        return _publish(before.size if before else 0, tiles.tree_of(size))


def _publish(start: int, tree: merkle.Tree) -> Checkpoint:
    statement = notes.CheckpointText(selectors.origin(), tree.size, tree.root())
    note = notes.sign_checkpoint(statement, signing_key())
    publishing.publish(start, tree.size, note)
    values = {"root": statement.root, "note": note, "signed_at": timezone.now()}
    return Checkpoint.objects.get_or_create(size=tree.size, defaults=values)[0]


def _refuse_if_behind(before: notes.CheckpointText | None, newest: Checkpoint | None, size: int) -> None:
    signed = max(before.size if before else 0, newest.size if newest else 0)
    if signed > size:
        raise LogBehind(f"{signed} entries were signed, the database holds {size}: was it restored from a backup?")


def _refuse_if_different(before: notes.CheckpointText | None, newest: Checkpoint | None) -> None:
    known = {(before.size, before.root)} if before else set()
    known |= {(newest.size, bytes(newest.root))} if newest else set()
    for size, root in known:
        if tiles.tree_of(size).root() != root:
            raise LogDiverged(f"the first {size} entries are not those that were signed")


def _note_signing_keys(size: int) -> None:
    """Begin the log, or record that a signing key is another one than before: a change is an entry (DESIGN §2)."""
    keys = signing_key().public, SigningKey.from_seed(settings.ARCHIVE_SIGNING_KEY).public
    if keys in _keys_in_log and size:
        return
    with exclusive():
        details = {"log_key": keys[0], "archive_key": keys[1]}
        if not Leaf.objects.exists():
            place_first(append(Event.LOG_STARTED, about="", actor=Actor.system(), **details))
        elif _newest_keys() != tuple(key.hex() for key in keys):
            append(Event.SIGNING_KEY_CHANGED, about="", actor=Actor.system(), **details)
    _keys_in_log.clear()
    _keys_in_log.add(keys)


def _newest_keys() -> tuple[str, str]:
    changed = Entry.objects.filter(event=Event.SIGNING_KEY_CHANGED).order_by("-id").first()
    details = selectors.details_of(changed or Leaf.objects.select_related("entry").get(index=0).entry)
    return details["log_key"], details["archive_key"]


@contextmanager
def exclusive() -> Iterator[None]:
    """A transaction that no other sequencer runs beside, and whose commit survives a power cut.

    SQLite: BEGIN IMMEDIATE is the lock, as it has one writer, and the site's connections sync each commit.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '10s'; SET LOCAL synchronous_commit = on")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        yield
