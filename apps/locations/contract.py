"""What every kind of place can do. One module for each kind; no shared base class (DESIGN §4).

`Connector` is what each kind has. The protocols after it are optional: whoever needs one asks
`isinstance(connector, Rectifies)`, and a place without it gets a task for a person instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable
from uuid import UUID


@dataclass(frozen=True)
class Identity:
    """Who a request is about, in every form in which some place may know them.

    `values` are (kind, value) pairs such as ("email", "ada@example.org"), ("user_id", "42"). After the keys are gone
    they come from the copy under the request key.
    """

    subject_id: UUID
    account_id: UUID | None
    request_id: UUID | None
    values: tuple[tuple[str, str], ...] = ()

    def of_kind(self, kind: str) -> list[str]:
        """Return what the person is known by of one kind; `subject_id` is the id that Habeas itself gave them."""
        return (
            [str(self.subject_id)] if kind == "subject_id" else [value for name, value in self.values if name == kind]
        )


@dataclass(frozen=True)
class Scope:
    """Which part is asked for; dates are inclusive, None is open. An erasure is always of everything."""

    since: date | None = None
    until: date | None = None
    formats: tuple[str, ...] = ("html", "json")  # of an access archive: html, json, txt, csv
    language: str = "en"


@dataclass(frozen=True)
class Health:
    """The answer of a connection test."""

    is_reachable: bool
    message: str  # plain words, no credentials
    horizon_days: int | None = 0  # until an erased copy is really gone (versions, soft delete …); None: unknown
    problems: tuple[str, ...] = ()  # missing permissions, locks
    facts: tuple[tuple[str, str], ...] = ()  # what was read: ("Versions", "on"), ("Lifecycle", "none") …; plain words


@dataclass(frozen=True)
class Obstacle:
    """Something that will keep an erasure from being complete, found before anything is touched."""

    reason: str  # of apps.locations.reasons
    count: int = 1
    until: date | None = None


class Item(NamedTuple):
    """Something held, not yet read. `name` may be personal: never logged, never on staff's pages.

    A named tuple, since there are millions: a frozen dataclass takes five times as long to make.
    """

    name: str
    kind: str  # "conversation", "object", "file", "row" …
    size: int | None = None
    modified: datetime | None = None
    shown: str = ""  # what administrators may see of it when they try the place; "": the name, masked
    group: str = ""  # the table or collection that it lies in: then counted apart


# For a kind that finds thousands in a few milliseconds: an Item of all its six values, in half the time of a call.
new_item: Callable[[tuple[str, str, int | None, datetime | None, str, str]], Item] = partial(tuple.__new__, Item)


@dataclass
class Entry:
    """A file, or a piece of one, for an access archive.

    `name` is generated, relative to the place's folder, ASCII, without personal data. `part`: "whole"; or "piece" … "last"
    for a file that is written over several batches (pieces of one name come in order; other entries may come between).
    `cursor`: where to go on after this entry, given back to `export`; a batch may end after any entry.
    """

    name: str
    media_type: str
    chunks: Iterable[bytes]
    cursor: str
    part: str = "whole"
    count: int = 1  # how many items (conversations, objects) this entry completes; 0 for a by-product


@dataclass(frozen=True)
class Kept:
    """What a place keeps of a person because its settings say so: rows as they are, or without some of their columns."""

    what: str  # the table or collection
    count: int
    why: str = ""  # in the operator's words: for the receipt, never for the log
    without: tuple[str, ...] = ()  # what was overwritten or removed; (): all of it stays


@dataclass(frozen=True)
class Progress:
    """A batch of an erasure that is done. A repeat after a crash erases 0, so `remaining` is the proof."""

    erased: int
    cursor: str
    counts: dict[str, int] = field(default_factory=dict)  # by kind, e.g. {"objects": 10, "versions": 14}
    kept: tuple[Kept, ...] = ()  # of this batch: what was overwritten may not be found again as the person's


@dataclass(frozen=True)
class Change:
    """A correction: what is written in `field` (a column, a key of a document, a kind of identity) becomes `value`.

    `before`: only where that still stands; None: whatever stands there. `value` None: it is to be emptied.
    """

    field: str
    value: str | None
    before: str | None = None


@dataclass(frozen=True)
class Remaining:
    """The second look: what is still there, why, and until when."""

    count: int
    reason: str = ""  # of apps.locations.reasons; "" when nothing stays
    until: date | None = None
    kept: tuple[Kept, ...] = ()  # what stays by the place's settings, counted or not


class Connector(Protocol):
    """Made from the place's configuration (a dict). Errors: those of apps.locations.errors, never a provider's own."""

    def check(self) -> Health: ...

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]: ...

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]: ...

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]: ...

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]: ...

    def remaining(self, who: Identity, scope: Scope) -> Remaining: ...


@runtime_checkable
class Summarises(Protocol):
    """Says what it will do with its settings, a sentence each: "Finds …", "Reads …", "Erases …", "Keeps until …"."""

    def summary(self) -> list[str]: ...


@runtime_checkable
class Recognises(Protocol):
    """Says by which kinds of identity it knows people, so that staff see which are wanting of somebody."""

    def identity_kinds(self) -> set[str]: ...


@dataclass(frozen=True)
class Assignment:
    """What a person is asked to do in a place that nothing can be connected to."""

    person: str
    email: str
    days: int  # until when, from the day on which it is asked
    instructions: str


@runtime_checkable
class DoneByHand(Protocol):
    """A place that only a person can reach: its steps wait until staff confirm what was done there."""

    def assignment(self) -> Assignment: ...


@runtime_checkable
class Rectifies(Protocol):
    """Corrects what it holds of a person; returns how many items changed. A repeat changes 0.

    A field that it does not hold, or may not write, is `Refused`: a person has to look.
    """

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int: ...


@runtime_checkable
class SeesFields(Protocol):
    """Says which of these fields it holds of a person: what an emptied field leaves no trace of can then be told, after a
    crash, from what was never there."""

    def fields_held(self, who: Identity, fields: Iterable[str]) -> set[str]: ...


@runtime_checkable
class Restricts(Protocol):
    """Marks what it holds of a person so that others leave it alone, or lifts that; returns how many items changed."""

    def restrict(self, who: Identity, on: bool) -> int: ...
