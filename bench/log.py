"""The audit log on PostgreSQL: appends beside the sequencer, and proofs and pages as the log grows.

    python -m bench.log [--appends 5000] [--entries 1000000]

Aims (DESIGN §9): 1,000 entries/s on 2 cores with a checkpoint within 2 s; a proof in O(log n) at 1,000,000 entries; the
auditors' list as quick as with a thousand. Appends are measured by writers in processes of their own, each entry in a
transaction of its own, while this process sequences every second. The large log is filled in bulk, past the sequencer.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from bench.installation import ROOT, environment, migrate
from tests.services import running_postgres

WRITERS = 2
BATCH = 20_000
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
TRIES = 100


def writer(count: str) -> None:
    """Append entries, each in a transaction of its own; print the seconds taken."""
    from django.db import connection, transaction

    from apps.audit import services
    from apps.audit.actors import Actor
    from apps.audit.events import Event
    from apps.audit.handles import new_handle

    connection.ensure_connection()
    handle = new_handle()
    began = time.perf_counter()
    for number in range(int(count)):
        with transaction.atomic():
            services.append(Event.STEP_DONE, about=handle, actor=Actor.system(), erased=number)
    print(json.dumps({"began": began, "ended": time.perf_counter()}))


def appends(count: str) -> None:
    """Start the writers, sequence every second beside them, and print entries a second and the longest wait for a checkpoint."""
    from apps.audit import selectors, services
    from apps.audit.models import Entry, Pending

    services.sequence()
    share = str(int(count) // WRITERS)
    command = [sys.executable, "-m", "bench.log", "--as", "writer", share]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)]
    longest, rounds = 0.0, 0
    while any(one.poll() is None for one in running) or Pending.objects.exists():
        time.sleep(0.5)
        oldest = Pending.objects.order_by("entry_id").values_list("entry__created_at", flat=True).first()
        if oldest is None:
            continue
        services.sequence()
        longest, rounds = max(longest, (datetime.now(UTC) - oldest).total_seconds()), rounds + 1
    times = [json.loads(one.communicate()[0].splitlines()[-1]) for one in running]
    taken = max(one["ended"] for one in times) - min(one["began"] for one in times)
    newest = selectors.latest_checkpoint()
    assert newest is not None and newest.size == Entry.objects.count()
    print(json.dumps({"a_second": int(count) / taken, "longest_wait": longest, "checkpoints": rounds}))


def grown(entries: str) -> None:
    """Fill the log step by step and print, for each size, what a proof and a page of the auditors' list take."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.audit import listing, merkle, sequencer, tiles
    from apps.audit.models import Leaf

    for size in [size for size in SIZES if size <= int(entries)]:
        fill(sequencer.log_size(), size)
        tree = tiles.tree_of(size)
        root = tree.root()
        leaf = bytes(Leaf.objects.get(index=size // 3).leaf_hash)
        with CaptureQueriesContext(connection) as asked:
            path = tiles.tree_of(size).inclusion_proof(size // 3)
        assert merkle.root_from_inclusion(leaf, size // 3, size, path) == root
        pages = {name: median(partial(listing.page_of, found, before=before)) for name, found, before in lists(size)}
        proof = median(partial(prove_any, size, random.Random(size)))
        print(json.dumps({"size": size, "queries": len(asked), "proof": proof, "pages": pages}), flush=True)


def prove_any(size: int, source: random.Random) -> None:
    from apps.audit import tiles

    tiles.tree_of(size).inclusion_proof(source.randrange(size))


def lists(size: int) -> list[tuple[str, Any, int | None]]:
    """Return what auditors look through: name, entries, and the place in the list."""
    from apps.audit import selectors

    return [
        ("newest", selectors.entries(), None),
        ("middle", selectors.entries(), size // 2),
        ("event", selectors.entries(event="request.opened"), None),
        ("nothing", selectors.entries(event="log.started", role="officer"), None),
        ("day", selectors.entries(since=DAY.date(), until=DAY.date()), None),
    ]


DAY = datetime(2026, 1, 2, tzinfo=UTC)
EVENTS = ("step.done",) * 95 + (
    "keys.intended",
    "request.opened",
    "content.looked_at",
    "subject.frozen",
    "receipt.issued",
)


def fill(start: int, stop: int) -> None:
    """Put entries and leaves into the tables by COPY, then complete the tiles: what the sequencer would have made."""
    from django.db import connection, transaction

    from apps.audit import tiles

    with transaction.atomic(), connection.cursor() as cursor:
        for first in range(start, stop, BATCH):
            rows = list(synthetic(first, min(first + BATCH, stop)))
            for table, columns, values in (
                ("audit_entry", "id, created_at, event, about, actor, role, data", [row[0] for row in rows]),
                ("audit_leaf", '"index", entry_id, leaf_hash', [row[1] for row in rows]),
            ):
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for value in values:
                        copy.write_row(value)
        tiles.complete_tiles(start, stop)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_entry, audit_leaf, audit_tile")


def synthetic(first: int, stop: int) -> Iterator[tuple[tuple, tuple]]:
    for index in range(first, stop):
        at, event = DAY + timedelta(seconds=index), EVENTS[index % 100]
        about = f"{index // 40:026d}".translate(str.maketrans("0189", "abcd"))
        data = f'{{"about":"{about}","actor":"","at":"{at.isoformat()}","details":{{}},"event":"{event}","n":{index}}}'.encode()
        yield (index + 1, at, event, about, "", "system", data), (index, index + 1, sha256(b"\0" + data).digest())


def median(work: Callable[[], Any]) -> float:
    """Return milliseconds."""
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def ask(env: dict[str, str], what: str, value: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.log", "--as", what, str(value)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def report(appends: int, entries: int) -> bool:
    with running_postgres() as server:
        server.create("records", "keys", "large", "large_keys")
        small = environment(server.url("records"), server.url("keys"))
        large = environment(server.url("large"), server.url("large_keys"))
        for env in (small, large):
            migrate(env)
        [speed] = ask(small, "appends", appends)
        print(
            f"The log on PostgreSQL: {appends:,} appends by {WRITERS} writers, a transaction each, the sequencer beside them"
        )
        print(
            f"  {speed['a_second']:,.0f} entries/s (aim: 1,000); signed after {speed['longest_wait']:.2f} s at most (aim: 2)"
        )
        grown = ask(large, "grown", entries)
    for row in grown:
        pages = "  ".join(f"{name} {value:.1f}" for name, value in row["pages"].items())
        print(
            f"  {row['size']:>10,} entries: a proof {row['proof']:.1f} ms in {row['queries']} queries; a page, ms: {pages}"
        )
    flat = all(value <= 200 for row in grown for value in row["pages"].values())
    return speed["a_second"] >= 1000 and speed["longest_wait"] <= 2 and flat and grown[-1]["proof"] <= 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appends", type=int, default=5_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--as", dest="part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        django.setup()
        {"writer": writer, "appends": appends, "grown": grown}[options.part[0]](options.part[1])
        return
    sys.exit(0 if report(options.appends, options.entries) else 1)


if __name__ == "__main__":
    main()
