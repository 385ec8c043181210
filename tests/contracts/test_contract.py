"""The contract of every kind of place, tried on a real one of each: what may come over it, and what it must hold through.

CONTRACT_ITEMS=10000 makes the large test as large as that (its times: --junitxml); 1,100 is more than any kind takes at a
time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import pytest

from apps.locations.contract import Health, Identity, Recognises, Scope, Summarises
from apps.locations.errors import Blocked, LocationError, Refused, Unavailable
from tests.contracts.failing import MOST_CALLS, failing_at
from tests.contracts.kinds import MANY, Kind

SCOPE = Scope()
IN_TIME = 20  # seconds in which a server that says nothing is given up, its time-out being cut to one


def erase(connector: Any, who: Identity) -> int:
    return sum(progress.erased for progress in connector.erase(who, SCOPE, ""))


def exported(connector: Any, who: Identity, *, stop_after: int = 10**9) -> dict[str, bytes]:
    """Export as the engine does, beginning anew with the last cursor after every `stop_after` entries."""
    files: dict[str, bytes] = defaultdict(bytes)
    ended: set[str] = set()
    cursor, taken = "", stop_after
    while taken == stop_after:
        taken = 0
        for entry in connector.export(who, SCOPE, cursor):
            assert entry.name not in ended, "written after its end"
            files[entry.name] += b"".join(entry.chunks)
            cursor, taken = entry.cursor, taken + 1
            if entry.part != "piece":
                ended.add(entry.name)
            if taken == stop_after:
                break
    assert ended == set(files)
    return dict(files)


def names_of(files: dict[str, bytes]) -> bool:
    return all(name.isascii() and "ada" not in name for name in files)


@pytest.fixture
def bens(kind: Kind) -> dict[str, str]:
    """Ben's items next to Ada's, of the same names."""
    for name in kind.names:
        kind.put("42", name, f"ben's {name!r}".encode())
    seen = kind.of("42")
    assert len(seen) >= len(kind.names)
    return seen


def test_nothing_there(kind: Kind, ada: Identity, bens: dict[str, str]) -> None:
    assert list(kind.connector.find(ada, SCOPE)) == []
    assert kind.connector.preflight(ada, SCOPE) == list(kind.always)
    assert exported(kind.connector, ada) == {}
    assert kind.connector.remaining(ada, SCOPE).count == 0
    assert erase(kind.connector, ada) == 0
    assert kind.everything() == bens


def test_one_item(kind: Kind, ada: Identity, bens: dict[str, str]) -> None:
    kind.put("4", kind.names[0], b"the only one")
    assert len(list(kind.connector.find(ada, SCOPE))) == 1
    files = exported(kind.connector, ada)
    assert sum(content.count(b"the only one") for content in files.values()) == 1
    assert kind.connector.remaining(ada, SCOPE).count >= 1
    assert erase(kind.connector, ada) >= 1
    assert kind.connector.remaining(ada, SCOPE).count == 0
    assert kind.everything() == bens


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3, 10**9])
def test_names_of_every_kind_are_read_whole_wherever_it_is_cut(
    kind: Kind, ada: Identity, bens: dict[str, str], stop_after: int
) -> None:
    for number, name in enumerate(kind.names):
        kind.put("4", name, b"words number %03d." % number)
    assert len(list(kind.connector.find(ada, SCOPE))) == (len(kind.names) if kind.is_counted else 0)
    files = exported(kind.connector, ada, stop_after=stop_after)
    everything = b"".join(files.values())
    for number, name in enumerate(kind.names):
        assert everything.count(b"words number %03d." % number) == 1, name
    assert b"ben's" not in everything
    assert names_of(files)


@pytest.mark.slow
def test_names_of_every_kind_are_erased_and_bens_stay(kind: Kind, ada: Identity, bens: dict[str, str]) -> None:
    for name in kind.names:
        kind.put("4", name, b"hers")
    erase(kind.connector, ada)
    assert kind.connector.remaining(ada, SCOPE).count == 0
    assert kind.of("4") == {}
    assert kind.everything() == bens


@pytest.mark.thorough
def test_many_items_are_found_read_and_erased(
    kind: Kind,
    ada: Identity,
    bens: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    if kind.many < MANY:
        for constant in kind.batches:
            monkeypatch.setattr(constant, kind.many // 3)
    times = [time.monotonic()]
    kind.put_many("4", kind.many)
    times.append(time.monotonic())
    assert sum(1 for _item in kind.connector.find(ada, SCOPE)) == kind.many
    times.append(time.monotonic())
    everything = b"".join(exported(kind.connector, ada).values())
    assert everything.count(b"item ") >= kind.many
    times.append(time.monotonic())
    batches = list(kind.connector.erase(ada, SCOPE, ""))
    assert sum(batch.erased for batch in batches) >= kind.many
    assert len(batches) >= 2, "one batch for all could not be resumed"
    assert kind.connector.remaining(ada, SCOPE).count == 0
    times.append(time.monotonic())
    assert kind.everything() == bens
    for what, (begun, ended) in zip(("put", "find", "read", "erase"), pairwise(times), strict=True):
        record_property(f"seconds to {what}", round(ended - begun, 1))


@pytest.mark.slow
def test_an_erasure_run_twice_does_nothing_the_second_time(kind: Kind, ada: Identity, bens: dict[str, str]) -> None:
    kind.put("4", kind.names[0], b"hers")
    assert erase(kind.connector, ada) >= 1
    assert erase(kind.again(), ada) == 0
    assert kind.everything() == bens


@pytest.mark.slow
def test_killed_and_resumed_after_each_batch(
    kind: Kind, ada: Identity, bens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in kind.batches:
        monkeypatch.setattr(constant, 2)
    for number in range(7):
        kind.put("4", f"{number}.txt", b"hers")
    cursor, batches = "", 0
    while True:
        batch = next(iter(kind.again().erase(ada, SCOPE, cursor)), None)  # killed there: the rest of it never runs
        if batch is None:
            break
        cursor, batches = batch.cursor, batches + 1
        assert batches < 50, "it does not come to an end"
    assert batches >= 3
    assert kind.connector.remaining(ada, SCOPE).count == 0
    assert kind.everything() == bens


@pytest.mark.slow
def test_what_appears_during_the_erasure_is_seen_and_goes_with_a_repeat(
    kind: Kind, ada: Identity, bens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in kind.batches:
        monkeypatch.setattr(constant, 2)
    for number in range(5):
        kind.put("4", f"{number}.txt", b"hers")
    erasure = iter(kind.connector.erase(ada, SCOPE, ""))
    next(erasure)
    kind.put("4", "0-appeared.txt", b"late")
    list(erasure)
    left = kind.again().remaining(ada, SCOPE).count
    assert left == len(kind.of("4"))
    erase(kind.again(), ada)
    assert kind.again().remaining(ada, SCOPE).count == 0
    assert kind.everything() == bens


@pytest.mark.slow
def test_what_cannot_be_deleted_is_said_and_the_rest_goes(kind: Kind, ada: Identity, bens: dict[str, str]) -> None:
    for name in ("1.txt", "2.txt", "3.txt"):
        kind.put("4", name, b"hers")
    with kind.keep("4", "2.txt"):
        try:
            erase(kind.connector, ada)
        except (Refused, Blocked):
            pass  # said at once
        else:
            left = kind.again().remaining(ada, SCOPE)
            assert left.count == 1
            assert left.reason
        assert len(kind.of("4")) == 1
    erase(kind.again(), ada)
    assert kind.again().remaining(ada, SCOPE).count == 0
    assert kind.everything() == bens


METHODS: dict[str, Callable[[Any, Identity], Any]] = {
    "check": lambda connector, who: connector.check(),
    "preflight": lambda connector, who: connector.preflight(who, SCOPE),
    "find": lambda connector, who: list(connector.find(who, SCOPE)),
    "export": lambda connector, who: exported(connector, who),
    "remaining": lambda connector, who: connector.remaining(who, SCOPE),
}
ASKED: dict[str, Callable[[Any, Identity], Any]] = METHODS | {"erase": erase}  # whatever leaves this process
SOON = ("check", "remaining")  # the others wait as well, and are left to make test-all


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
def test_a_connection_lost_at_any_call_is_said_to_be_lost(kind: Kind, ada: Identity, method: str) -> None:
    for name in kind.names[:3]:
        kind.put("4", name, b"hers")
    whole = METHODS[method](kind.again(), ada)
    for n in range(1, MOST_CALLS):
        with failing_at(n, *kind.transport, error=kind.lost) as calls:
            try:
                seen = METHODS[method](kind.again(), ada)
            except LocationError as error:
                assert isinstance(error, Unavailable), "what is lost may come back: no person is needed"
                assert calls.was_lost
                continue
        if not calls.was_lost:
            assert n > 1 or method == "preflight", "no call was counted: `transport` names the wrong functions"
            assert seen == whole
            return
        assert method == "check" or seen == whole, "a lost call went unnoticed"
        if method == "check":
            assert isinstance(seen, Health)
    pytest.fail("it needs more calls than that")


@pytest.mark.thorough
def test_an_erasure_that_loses_the_connection_at_any_call_is_finished_by_a_repeat(
    kind: Kind, ada: Identity, bens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in kind.batches:
        monkeypatch.setattr(constant, 2)
    for n in count(1):
        for number in range(3):
            kind.put("4", f"{number}.txt", b"hers")
        with failing_at(n, *kind.transport, error=kind.lost) as calls:
            try:
                erase(kind.again(), ada)
            except LocationError as error:
                assert isinstance(error, Unavailable)
        left = kind.again().remaining(ada, SCOPE).count
        assert left == len(kind.of("4")), "the second look sees what is there"
        erase(kind.again(), ada)
        assert kind.everything() == bens
        if not calls.was_lost:
            assert n > 1
            assert left == 0
            return
        assert n < MOST_CALLS


def test_a_person_whom_the_place_cannot_know_is_a_case_for_a_person(kind: Kind, ada: Identity) -> None:
    unknown = Identity(ada.subject_id, None, None, ())
    for method in METHODS:
        if method != "check":
            with pytest.raises(Refused):
                METHODS[method](kind.connector, unknown)
    with pytest.raises(Refused):
        erase(kind.connector, unknown)


def test_wrong_credentials_are_refused_everywhere(kind: Kind, ada: Identity) -> None:
    connector = kind.with_wrong_credentials()
    for method in METHODS.values():
        with pytest.raises(Refused):
            method(connector, ada)
    with pytest.raises(Refused):
        erase(connector, ada)


@pytest.mark.parametrize(
    "method", [*SOON, *(pytest.param(name, marks=pytest.mark.slow) for name in ASKED if name not in SOON)]
)
def test_a_server_that_says_nothing_is_unavailable_in_time(
    kind: Kind, ada: Identity, silent_server: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    connector = kind.at(silent_server, monkeypatch)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        ASKED[method](connector, ada)
    assert time.monotonic() - began < IN_TIME


def test_it_says_how_it_is_and_what_it_will_do(kind: Kind) -> None:
    health = kind.connector.check()
    assert health.is_reachable
    assert health.message
    assert isinstance(kind.connector, Summarises)
    assert all(line.endswith(".") for line in kind.connector.summary())
    assert isinstance(kind.connector, Recognises) == kind.is_counted
    if isinstance(kind.connector, Recognises):
        assert "user_id" in kind.connector.identity_kinds()
