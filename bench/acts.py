"""Measures a kind of place against a loop by hand: find, read and erase the items of one person, and the peak of memory.

Each side works in a process of its own, and what stands in for a server in neither, so that nobody waits for another's
interpreter. The two take turns, item for item the same ones, and begin in turn; a ratio is the median of the tries' ratios,
so that a busy machine slows both. Each act opens its own client, as a step of a request does, and a try runs warm: all
acts were done once with a tenth of the items. Memory is what that tenth took against the whole.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

AIM = 1.5  # times the loop by hand
FLAT = 12.0  # MiB that ten times the items may add: two pages of a table; forty times add no more
ACTS = ("find", "read", "erase")
USER = "4"
SIZE = 1024  # bytes of an item


class Loop(Protocol):
    """What somebody writes who has one place and its provider's client. Each act returns how many items it did."""

    def find(self) -> int: ...

    def read(self) -> int: ...

    def erase(self) -> int: ...


@dataclass(frozen=True)
class Kind:
    """`fill` puts so many items of the person where there are none; `by_hand` is called with `config`, as the connector is."""

    name: str
    connector: str
    by_hand: Callable[[dict[str, Any]], Loop]
    config: dict[str, Any]
    fill: Callable[[int], Any]
    tries: int = 5


class Ours:
    """The same acts by the connector."""

    def __init__(self, path: str, config: dict[str, Any]) -> None:
        from django.utils.module_loading import import_string

        from apps.locations.contract import Identity, Scope

        self.connector = import_string(path)(config)
        self.asked = Identity(uuid.uuid4(), None, None, (("user_id", USER),)), Scope()

    def find(self) -> int:
        return sum(1 for _item in self.connector.find(*self.asked))

    def read(self) -> int:
        count = 0
        for entry in self.connector.export(*self.asked, ""):
            count += entry.count
            for _chunk in entry.chunks:
                pass
        return count

    def erase(self) -> int:
        return sum(progress.erased for progress in self.connector.erase(*self.asked, ""))


class Taken(NamedTuple):
    seconds: float
    own: float  # seconds of them in which this side's process itself worked, not the server
    items: int


class Side:
    """One side's process."""

    def __init__(self, make: Callable[..., Loop], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        self.peak = 0.0  # MiB, of everything so far

    def run(self, act: str) -> Taken:
        self._pipe.send(act)
        taken, self.peak = self._pipe.recv()
        return Taken(*taken)

    def stop(self) -> None:
        self._pipe.send("")
        self._process.join()


def _work(pipe: Connection, make: Callable[..., Loop], arguments: tuple[Any, ...]) -> None:
    start_django()
    while act := pipe.recv():
        gc.collect()
        began, worked = time.perf_counter(), time.process_time()
        count = getattr(make(*arguments), act)()
        pipe.send(((time.perf_counter() - began, time.process_time() - worked, count), _peak()))


def _peak() -> float:
    """Return the MiB that this program took at most: VmHWM, since ru_maxrss counts the program that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def start_django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")  # places of this machine lie where it lets them
    django.setup()
    logging.disable(logging.WARNING)


def measure(kind: Kind, count: int) -> list[str]:
    """Print the table of one kind, and return what missed its aim; ends the program when a side did not do it whole."""
    with ExitStack() as stack:
        by_hand, ours = Side(kind.by_hand, kind.config), Side(Ours, kind.connector, kind.config)
        for side in (by_hand, ours):
            stack.callback(side.stop)
        kind.fill(count // 10)
        for act in ACTS:
            _turn(kind, act, (by_hand, ours), count // 10)
        before = ours.peak
        missed: list[str] = []
        kind.fill(count)
        for act in ACTS:
            tries = []
            for number in range(kind.tries):
                order = (by_hand, ours) if number % 2 == 0 else (ours, by_hand)
                taken = _turn(kind, act, order, count)
                tries.append((taken[ours], taken[by_hand]))
                if act == "erase" and number < kind.tries - 1:
                    kind.fill(count)
            if not _row(kind.name, act, tries):
                missed.append(f"{kind.name} {act}")
        if not _memory_row(kind.name, count, before, ours.peak, by_hand.peak):
            missed.append(f"{kind.name} memory")
        return missed


def _turn(kind: Kind, act: str, order: Sequence[Side], count: int) -> dict[Side, Taken]:
    """Let each side do an act on the same items; what the first one erased is put there again for the other."""
    taken: dict[Side, Taken] = {}
    for side in order:
        if act == "erase" and taken:
            kind.fill(count)
        taken[side] = side.run(act)
    done = [one.items for one in taken.values()]
    if min(done) < count or done[0] != done[1]:
        raise SystemExit(f"{kind.name}: {act} of {count} was not done whole: {done}")
    return taken


def _row(name: str, act: str, tries: Sequence[tuple[Taken, Taken]]) -> bool:
    ratio = median(ours.seconds / by_hand.seconds for ours, by_hand in tries)
    own = median(ours.own / by_hand.own for ours, by_hand in tries)
    ours, by_hand = (median(one.seconds for one in column) for column in zip(*tries, strict=True))
    verdict = "ok" if ratio <= AIM else "MISSED"
    print(
        f"  {name:<16}{act:<7}{ours * 1000:>9,.0f} ms{by_hand * 1000:>9,.0f} ms{ratio:>8.2f} ×{own:>8.2f} ×   ≤ {AIM} ×    {verdict}",
        flush=True,
    )
    return ratio <= AIM


def _memory_row(name: str, count: int, before: float, after: float, by_hand: float) -> bool:
    verdict = "ok" if after - before <= FLAT else "MISSED"
    print(
        f"  {name:<16}memory{after:>8,.0f} MiB{by_hand:>8,.0f} MiB{after - before:>+8.1f} MiB         ≤ +{FLAT:.0f} MiB  {verdict}",
        flush=True,
    )
    return after - before <= FLAT


Making = Callable[[ExitStack], Kind | None]  # None: what it needs is not installed, and it has said so


def main(doc: str, kinds: dict[str, Making]) -> None:
    """Measure the kinds that are asked for, or all; ends the program with 1 when an aim was missed."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="?", type=int, default=10_000)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(kinds)}; none: all")
    asked = parser.parse_args()
    start_django()
    print(f"{asked.items:,} items of one person; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"  {'kind':<16}{'':<7}{'ours':>12}{'by hand':>12}{'ratio':>10}{'own work':>10}   aim")
    missed: list[str] = []
    for name in asked.kinds or kinds:
        with ExitStack() as stack:
            kind = kinds[name](stack)
            missed += measure(kind, asked.items) if kind is not None else []
    print(f"  missed: {', '.join(missed)}" if missed else "  every aim was met")
    sys.exit(1 if missed else 0)


def leave_out(what: str) -> None:
    print(f"  {what} is not installed: left out")
