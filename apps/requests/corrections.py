"""What is corrected where: for each place the values found and right, or a person, or nothing. Filled in by an officer.

It says what is held of the person, so it lies in the request's sealed details.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.locations.contract import Change
from apps.locations.models import Location
from apps.records.services.rectifying import MESSAGE
from apps.sealing.blind import normalise

VALUES, HAND, NOTHING = "values", "hand", "nothing"
WAYS = (VALUES, HAND, NOTHING)


@dataclass(frozen=True)
class Correction:
    """What becomes of one place: `way` is one of WAYS; `changes` only with VALUES."""

    way: str
    changes: tuple[Change, ...] = ()


BY_HAND = Correction(HAND)


def correction_at(details: Mapping[str, Any], location: Location) -> Correction:
    """Return what was filled in for a place; one that nobody has spoken of is looked at by a person."""
    return corrections_of(details).get(str(location.pk), BY_HAND)


def corrections_of(details: Mapping[str, Any]) -> dict[str, Correction]:
    """Return what was filled in, by the id of the place."""
    return {pk: _from_json(value) for pk, value in details.get("corrections", {}).items()}


def unspoken(details: Mapping[str, Any], locations: Iterable[Location]) -> list[Location]:
    """Return the places of which nobody has said yet what is to be corrected there."""
    filled = corrections_of(details)
    return [location for location in locations if str(location.pk) not in filled]


def called_wrong(details: Mapping[str, Any], known: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what of these (kind, value) pairs, by which a person is known, some correction calls wrong, in any place."""
    wrong = {
        normalise(change.before)
        for one in corrections_of(details).values()
        for change in one.changes
        if change.before and change.field != MESSAGE
    }
    return [(kind, value) for kind, value in known if normalise(value) in wrong]


def written_unseen(one: Correction) -> bool:
    """Say whether a value is written there whatever stands there now."""
    return any(change.before is None for change in one.changes)


def with_corrections(details: Mapping[str, Any], corrections: Mapping[str, Correction]) -> dict[str, Any]:
    """Return the details with these in the place of what was filled in for the same places."""
    written = {pk: _as_json(one) for pk, one in corrections.items()}
    return {**details, "corrections": {**details.get("corrections", {}), **written}}


def _as_json(one: Correction) -> dict[str, Any]:
    return {"way": one.way, "changes": [[change.field, change.before, change.value] for change in one.changes]}


def _from_json(value: Mapping[str, Any]) -> Correction:
    changes = tuple(Change(field, right, before) for field, before, right in value["changes"])
    return Correction(value["way"], changes)
