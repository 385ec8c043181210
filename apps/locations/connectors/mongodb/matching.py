"""Which documents are a person's, as filters; the values stand in them as values, never as text of a query."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import bson
from bson import ObjectId
from pymongo.database import Database

from apps.locations import deadlines, mongo
from apps.locations.connectors.mongodb.rules import UNSET, Rule
from apps.locations.contract import Identity
from apps.locations.errors import Refused
from apps.locations.known_by import values_of
from apps.locations.said import said as _

Filter = dict[str, Any]
Position = Sequence[
    list[Any]
]  # of each collection above, the topmost first: the _id behind which to go on; []: none yet
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
    raise Refused(_("The _id of a document is of a type that cannot be gone through one after the other."))


class Finder:
    """Gives the filters of each collection; the ids of a parent's documents are read for it a page at a time."""

    def __init__(self, database: Database[Any], rules: list[Rule], who: Identity) -> None:
        self._database, self._rules, self._who = database, rules, who

    def filters(self, rule: Rule, after: Position = ()) -> Iterator[tuple[Filter, Position]]:
        """Yield filters that together give a person's documents, each with the place behind which the next one begins."""
        for filter_, _begin, end in self._filters(rule, after):
            yield filter_, end

    def _filters(self, rule: Rule, after: Position) -> Iterator[tuple[Filter, Position, Position]]:
        """Yield a filter, the place from which it would be made again, and the one behind it."""
        if not rule.parent:
            own = own_filter(rule, self._who)
            if own is not None:
                yield own, (), ()
            return
        parent = next(one for one in self._rules if one.name == rule.parent)
        last = after[-1] if after else []
        for filter_, begin, _end in self._filters(parent, after[:-1]):
            while ids := self._ids(parent, filter_, last):
                following = [ids[-1]]
                yield {rule.field: {"$in": ids}}, (*begin, last), (*begin, following)
                last = following
            last = []

    def _ids(self, rule: Rule, filter_: Filter, last: list[Any]) -> list[Any]:
        """Return the ids of the next documents."""
        deadlines.check_look()
        wanted = {"$and": [filter_, behind(last[0])]} if last else filter_
        with mongo.foreign_errors():
            found = self._database[rule.collection].find(wanted, {"_id": 1}).sort("_id").limit(IDS)
            return [document["_id"] for document in islice(found, IDS)]
