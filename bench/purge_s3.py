"""Purging the objects of one person from a bucket with versions, counted in requests, against a loop that deletes one by one.

python -m bench.purge_s3 [OBJECTS]      (Ceph's gateway on loopback; ends with 1 when an aim of the design is missed)
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.acts import USER, leave_out, start_django

PER_DELETION, PER_REQUEST = 900, 400  # objects, at 10,000 of them
FEWEST = 3  # requests that any purge takes: a listing, a deletion, the unfinished uploads
ONE_BY_ONE = 200  # objects of the loop by hand; its cost grows in step


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    start_django()
    with ExitStack() as stack:
        good = measure(stack, count)
    sys.exit(0 if good else 1)


def measure(stack: ExitStack, count: int) -> bool:
    from apps.locations.connectors.s3 import S3Connector
    from apps.locations.contract import Identity, Scope
    from bench.places import FOUND_BY, PREFIX, filler
    from tests.ceph import missing_programs, running_gateway
    from tests.contracts.places import new_bucket
    from tests.services import free_port

    if missing_programs():
        leave_out("Ceph's gateway")
        return True
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    gateway = stack.enter_context(running_gateway(folder / "ceph", free_port()))
    place = new_bucket(gateway.endpoint_url, gateway.access_key, gateway.secret_key)
    put = filler(lambda name: place.client.put_object(Bucket=place.bucket, Key=name, Body=b"x"))
    put(ONE_BY_ONE)
    by_hand = one_by_one(place.client, place.bucket, PREFIX)
    put(count)
    connector, who = S3Connector(place.config | FOUND_BY), Identity(uuid.uuid4(), None, None, (("user_id", USER),))
    calls: Counter[str] = Counter()
    connector.client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    began = time.perf_counter()
    erased = sum(progress.erased for progress in connector.erase(who, Scope(), ""))
    taken, counted = time.perf_counter() - began, Counter(calls)
    left = connector.remaining(who, Scope()).count
    deletions, total = counted["DeleteObjects"], sum(counted.values())
    print(f"S3 purge of {erased:,} objects (Ceph's gateway, versions on): {dict(counted)}")
    good = verdict("per DeleteObjects", erased, deletions, max(count // PER_DELETION, 1), PER_DELETION)
    good &= verdict("per request of any kind", erased, total, max(count // PER_REQUEST, FEWEST), PER_REQUEST)
    print(f"  {taken:.2f} s, one by one it would be {by_hand * erased:.2f} s; left: {left}")
    return good and erased == count and left == 0


def verdict(what: str, erased: int, requests: int, allowed: int, aim: int) -> bool:
    """Print a line; with few objects the aim is the fewest requests that can be, since a batch cannot be filled."""
    good = 0 < requests <= allowed
    print(f"  {what:<24}{erased / max(requests, 1):>9,.0f}   aim ≥ {aim}: ≤ {allowed} requests   {'ok' if good else 'MISSED'}")  # fmt: skip
    return good


def one_by_one(client: Any, bucket: str, prefix: str) -> float:
    """Return the seconds an object takes in the loop by hand: every version, a request each."""
    began, gone = time.perf_counter(), 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Versions", []):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
            gone += 1
    return (time.perf_counter() - began) / gone


if __name__ == "__main__":
    main()
