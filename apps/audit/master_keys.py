"""How master keys ended, as the log tells it: for each epoch the entries that decided, intended and told its destruction.

From the log alone, not from the keys database: what is shown is what the proofs prove.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from apps.audit import listing
from apps.audit.events import Event
from apps.audit.listing import Row
from apps.audit.models import Entry

OF_EPOCHS = (
    Event.MASTER_KEY_BEGUN,
    Event.MASTER_KEYS_PROPOSED,
    Event.MASTER_KEYS_APPROVED,
    Event.MASTER_KEYS_WITHDRAWN,
    Event.MASTER_KEYS_INTENDED,
    Event.MASTER_KEYS_DESTROYED,
)
OF_POLICIES = (Event.MASTER_KEY_POLICY_PROPOSED, Event.MASTER_KEY_POLICY_SET, Event.MASTER_KEY_POLICY_ENDED)
MOST_ENTRIES = 1_000  # some five years of weekly rolls; what is older is in the list


@dataclass(frozen=True)
class Ending:
    """One epoch, with its entries, oldest first, those of the standing policy under which it was destroyed among them."""

    epoch: str
    rows: list[Row]

    @property
    def destroyed(self) -> Row | None:
        return next((row for row in self.rows if row.entry.event == Event.MASTER_KEYS_DESTROYED), None)

    @property
    def is_intended(self) -> bool:
        return any(row.entry.event == Event.MASTER_KEYS_INTENDED for row in self.rows)


def endings() -> tuple[list[Ending], bool]:
    """Return the epochs that the newest entries name, the newest epoch first, and whether older entries are left out."""
    newest = Entry.objects.filter(event__in=OF_EPOCHS).select_related("leaf").order_by("-pk")[: MOST_ENTRIES + 1]
    rows = listing.rows_of(list(newest))
    by_epoch: dict[str, list[Row]] = defaultdict(list)
    for row in reversed(rows[:MOST_ENTRIES]):
        for epoch in _epochs_of(row):
            by_epoch[epoch].append(row)
    policies = _rows_by_proposal()
    found = [Ending(epoch, _with_policy(own, policies)) for epoch, own in by_epoch.items()]
    return found[::-1], len(rows) > MOST_ENTRIES


def _epochs_of(row: Row) -> Iterator[str]:
    """Yield those that an entry names: the new key's begins, and those before it go out of service."""
    yield from row.details.get("epochs", ()) or row.details.get("retired", ())
    if "epoch" in row.details:
        yield row.details["epoch"]


def _rows_by_proposal() -> dict[str, list[Row]]:
    of_policies = Entry.objects.filter(event__in=OF_POLICIES).select_related("leaf").order_by("pk")
    found: dict[str, list[Row]] = defaultdict(list)
    for row in listing.rows_of(list(of_policies)):
        found[row.details["proposal"]].append(row)
    return found


def _with_policy(own: list[Row], policies: dict[str, list[Row]]) -> list[Row]:
    """Add who decided, where no proposal for this epoch did; a policy that ended later than the intent had its effect."""
    intent = next((row for row in own if row.entry.event == Event.MASTER_KEYS_INTENDED), None)
    if intent is None:
        return own
    decided = [row for row in policies.get(intent.details["proposal"], ()) if row.entry.pk < intent.entry.pk]
    return sorted([*own, *decided], key=lambda row: row.entry.pk)
