"""What every place behind somebody's API must do, whatever its calls are: used by the tests of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson

from apps.locations.contract import Identity, Scope
from apps.locations.errors import Unavailable
from tests.contracts.standin import StandIn

SCOPE = Scope()
MOST_CALLS = 400


def exported(connector: Any, who: Identity, *, stop_after: int = 10**9) -> dict[str, bytes]:
    """Export as the engine does, beginning anew with the last cursor after every `stop_after` entries."""
    files: dict[str, bytes] = defaultdict(bytes)
    ended: set[str] = set()
    cursor = ""
    while True:
        taken = 0
        for entry in connector.export(who, SCOPE, cursor):
            assert entry.name not in ended, "written after its end"
            assert entry.name.isascii()
            files[entry.name] += b"".join(entry.chunks)
            cursor = entry.cursor
            if entry.part != "piece":
                ended.add(entry.name)
            taken += 1
            if taken == stop_after:
                break
        if taken < stop_after:
            break
    assert ended == set(files)
    return dict(files)


def lines_of(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in files.get("index.jsonl", b"").splitlines()]


def erase(connector: Any, who: Identity) -> int:
    return sum(progress.erased for progress in connector.erase(who, SCOPE, ""))


def erase_cut_off_at_each_batch(connector: Any, who: Identity) -> int:
    """Erase one batch at a time, each by a new call with the last cursor, as a killed worker's successor does."""
    cursor, batches = "", 0
    while True:
        progress = next(iter(connector.erase(who, SCOPE, cursor)), None)
        if progress is None or (progress.erased == 0 and progress.cursor == cursor):
            return batches
        cursor, batches = progress.cursor, batches + 1
        assert batches < MOST_CALLS, "no end"


def every_lost_connection(
    server: StandIn, connector: Any, refill: Callable[[], None], work: Callable[[Any], object]
) -> int:
    """Lose the connection at call 1, 2, 3 …: each time the work is Unavailable. Return at how many calls."""
    refill()
    for number in range(1, MOST_CALLS):
        if not _is_lost(server, number, lambda: work(connector)):
            return number - 1
    raise AssertionError("no end")


def every_lost_deletion(server: StandIn, connector: Any, refill: Callable[[], None], who: Identity) -> int:
    """Lose the connection at each call of an erasure, before it took effect and after; a repeat leaves nothing."""
    for number in range(1, MOST_CALLS):
        for lose_after in (False, True):
            refill()
            server.lose_after = lose_after
            if not _is_lost(server, number, lambda: erase(connector, who)):
                return number - 1
            erase(connector, who)
            assert connector.remaining(who, SCOPE).count == 0
    raise AssertionError("no end")


def _is_lost(server: StandIn, number: int, work: Callable[[], object]) -> bool:
    server.forget_calls()
    server.lose_at = number
    try:
        work()
    except Unavailable:
        server.lose_at = 0
        return True
    assert len(server.calls) < number, "a lost connection was taken for an answer"
    return False
