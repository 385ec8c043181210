"""Correcting at OpenAI: the metadata of objects, the only thing that its API lets be changed of what is stored.

Everything is looked for before anything is written: what was found by a value is not found by it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.locations.connectors.openai_objects import Kind, Metadata, metadata_of
from apps.locations.contract import Change
from apps.locations.errors import Refused
from apps.locations.said import said as _


def concerned(held: Iterable[tuple[Kind, dict[str, Any]]], changes: Sequence[Change]) -> list[tuple[Kind, str]]:
    """Return the objects whose metadata have one of the keys, by kind and id. Refused: one of a response, or in none."""
    keys = {change.field for change in changes}
    found: list[tuple[Kind, str]] = []
    known: set[str] = set()
    is_empty = True
    for kind, one in held:
        is_empty = False
        theirs = keys & set(metadata_of(one))
        if theirs and kind.update is None:
            raise Refused(_("The provider lets nobody change the metadata of a response. A person has to look."))
        if theirs:
            found.append((kind, one["id"]))
            known |= theirs
    if keys != known and not is_empty:
        raise Refused(_("No object of this person has that key in its metadata. A person has to look."))
    return found


def corrected(metadata: Mapping[str, str], changes: Sequence[Change]) -> Metadata:
    """Return the metadata as they should be; a repeat returns them as they are."""
    written = dict(metadata)
    for change in changes:
        if change.field not in written or change.before not in (None, written[change.field]):
            continue
        if change.value is None:
            del written[change.field]
        else:
            written[change.field] = change.value
    return written
