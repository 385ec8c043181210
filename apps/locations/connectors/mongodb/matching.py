"""Which documents are a person's, as filters; the values stand in them as values, never as text of a query."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
from bson import ObjectId
from pymongo.database import Database

from apps.locations.connectors.mongodb.rules import UNSET, Rule
from apps.locations.contract import Identity
from apps.locations.errors import NoIdentity, Refused

Filter = dict[str, Any]
IDS = 1000  # in one filter

# The order in which MongoDB sorts and compares (manual, "Comparison/Sort Order"): a comparison stays within one line.
BRACKETS: list[tuple[list[str], tuple[type, ...]]] = [
    (["null"], (type(None),)),
    (["int", "long", "double", "decimal"], (int, float, bson.Int64, bson.Decimal128)),
    (["string"], (str,)),
    (["object"], (dict,)),
    (["binData"], (bytes, bson.Binary, UUID)),
    (["objectId"], (ObjectId,)),
    (["bool"], (bool,)),
    (["date"], (datetime,)),
    (["timestamp"], (bson.Timestamp,)),
]


def check_identity(rules: Iterable[Rule], who: Identity) -> None:
    """Refuse a person whom no collection can know."""
    kinds = {rule.kind for rule in rules if rule.kind}
    known = [kind for kind in kinds if values_of(who, kind)]  # each is looked at, so that an odd value is refused
    if kinds and not known:
        raise NoIdentity(f"This place knows people by {', '.join(sorted(kinds))}, and none is known of this person.")


def values_of(who: Identity, kind: str) -> list[str]:
    values = [str(who.subject_id)] if kind == "subject_id" else who.of_kind(kind)
    for value in values:
        if not value.strip() or any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            raise Refused(f"The {kind} of this person cannot be looked for in a database. A person has to look.")
    return values


def own_filter(rule: Rule, who: Identity) -> Filter | None:
    """Return the filter of a collection that holds an identity; None when this person has none of the kind."""
    stored = [form for value in values_of(who, rule.kind) for form in _forms(value)]
    return {rule.field: {"$in": stored}} if stored else None


def _forms(value: str) -> Iterator[Any]:
    """Yield what an id may be stored as: text, a whole number, an ObjectId, a UUID."""
    yield value
    if re.fullmatch(r"-?[0-9]{1,18}", value) and str(int(value)) == value:
        yield int(value)
    if re.fullmatch(r"[0-9a-f]{24}", value):
        yield ObjectId(value)
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        yield UUID(value)


def alone(rule: Rule) -> Filter:
    """Return the filter of documents that name one person: no list stands on the way to the value."""
    return {"$nor": [{prefix: {"$type": "array"}} for prefix in rule.prefixes]}


def shared(rule: Rule) -> Filter:
    return {"$or": [{prefix: {"$type": "array"}} for prefix in rule.prefixes]}


def still_personal(rule: Rule) -> Filter:
    """Return the filter of documents about which an erasure still has to do something."""
    if rule.action != UNSET:
        return alone(rule)
    return {"$and": [alone(rule), {"$or": [{name: {"$exists": True}} for name in rule.fields]}]}


def behind(last: Any) -> Filter:
    """Return the filter "sorts after this _id", whatever types the ids are of."""
    for number, (_names, types) in enumerate(BRACKETS):
        if type(last) in types:
            later = [name for names, _types in BRACKETS[number + 1 :] for name in names]
            ways: list[Filter] = [{"_id": {"$gt": last}}]
            return {"$or": [*ways, {"_id": {"$type": later}}]} if later else ways[0]
    raise Refused("The _id of a document is of a type that cannot be gone through one after the other.")


def order(value: Any) -> bytes:
    """Return a fixed order of ids, for going on behind one."""
    return bson.encode({"": value})


class Finder:
    """Gives the filters of each collection; the ids of a parent's documents are read for it, nothing else of them."""

    def __init__(self, database: Database[Any], rules: list[Rule], who: Identity) -> None:
        self._database, self._rules, self._who = database, rules, who

    def filters(self, rule: Rule, after: bytes = b"") -> Iterator[tuple[Filter, bytes]]:
        """Yield filters that together give a person's documents, each with the place behind which the next one begins."""
        if not rule.parent:
            own = own_filter(rule, self._who)
            if own is not None:
                yield own, b""
            return
        ids = sorted((found for found in self._parent_ids(rule) if order(found) > after), key=order)
        for start in range(0, len(ids), IDS):
            batch = ids[start : start + IDS]
            yield {rule.field: {"$in": batch}}, order(batch[-1])

    def _parent_ids(self, rule: Rule) -> Iterator[Any]:
        for parent in self._rules:
            if parent.name == rule.parent:
                for filter_, _end in self.filters(parent):
                    for found in self._database[parent.collection].find(filter_, {"_id": 1}):
                        yield found["_id"]
