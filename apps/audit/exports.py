"""The log as files to take away: JSON Lines that the standalone verifier checks, and CSV for a spreadsheet.

JSON Lines, "habeas-log@v1". First line: {"checkpoint": the signed checkpoint, "format", "whole": true | false}. Then one
line an entry: {"entry": its exact text, "index": its place}; where it is a selection also "proof": its inclusion path.
A whole export has every place from 0 on, and is checked by building the root again. What is not signed yet is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from django.db.models import QuerySet

from apps.audit import notes, selectors, tiles
from apps.audit.entries import canonical_json
from apps.audit.models import Checkpoint, Entry, Leaf

EXPORT_FORMAT = "habeas-log@v1"
BATCH = 500  # rows a query and chunk: memory stays the same however long the log is
CSV_HEADER = ("index", "time_utc", "event", "about", "actor", "role", "details")


def whole_log(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield every signed entry as JSON Lines, in the order of the log."""
    yield _header(checkpoint, whole=True)
    for start in range(0, checkpoint.size, BATCH):
        stop = min(start + BATCH, checkpoint.size)
        leaves = Leaf.objects.filter(index__gte=start, index__lt=stop).order_by("index")
        rows = leaves.values_list("index", "entry__data")
        yield b"".join(_line({"index": index, "entry": bytes(data).decode()}) for index, data in rows)


def selection(found: QuerySet[Entry], checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield the signed ones of some entries as JSON Lines, each with its proof, oldest first."""
    yield _header(checkpoint, whole=False)
    tree = tiles.tree_of(checkpoint.size)
    for batch in _batches(found.filter(leaf__index__lt=checkpoint.size)):
        lines = []
        for entry in batch:
            proof = [notes.encode_base64(one) for one in tree.inclusion_proof(entry.leaf.index)]
            lines.append(_line({"index": entry.leaf.index, "entry": bytes(entry.data).decode(), "proof": proof}))
        yield b"".join(lines)


def spreadsheet(found: QuerySet[Entry]) -> Iterator[bytes]:
    """Yield entries as CSV (RFC 4180), oldest first; without an index as long as it has none.

    No cell can be a formula: numbers, times, closed words, handles of letters and digits, and JSON objects.
    """
    yield _rows([CSV_HEADER])
    for batch in _batches(found):
        yield _rows([_row(entry) for entry in batch])


def _header(checkpoint: Checkpoint, *, whole: bool) -> bytes:
    return _line({"format": EXPORT_FORMAT, "checkpoint": checkpoint.note, "whole": whole})


def _line(value: dict) -> bytes:
    return canonical_json(value) + b"\n"


def _batches(found: QuerySet[Entry]) -> Iterator[list[Entry]]:
    """Walk by primary key, so that each query is as quick as the first."""
    last = 0
    while batch := list(found.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield batch
        last = batch[-1].pk


def _rows(rows: list[tuple]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _row(entry: Entry) -> tuple:
    record, leaf = selectors.record_of(entry), getattr(entry, "leaf", None)
    details = canonical_json(record["details"]).decode()
    place = "" if leaf is None else leaf.index
    return place, record["at"], entry.event, entry.about, entry.actor, entry.role, details
