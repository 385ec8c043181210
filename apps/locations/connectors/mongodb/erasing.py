"""Erasing a person's documents: from the collections that know them, what belongs to a document before the document.

Nothing is remembered between batches: what is gone is not found again, so a repeat goes on by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from pymongo.database import Database

from apps.locations import mongo
from apps.locations.connectors.mongodb.matching import Filter, Finder, still_personal
from apps.locations.connectors.mongodb.rules import DELETE, KEEP, UNSET, Rule, children_of
from apps.locations.contract import Kept, Progress

BATCH = 1000  # documents in one command
Known = Callable[[], Filter]


class Eraser:
    def __init__(self, database: Database[Any], rules: list[Rule], finder: Finder) -> None:
        self._database, self._rules, self._finder = database, rules, finder

    def progress(self) -> Iterator[Progress]:
        """Erase from every collection. What hangs on documents that go, goes with them; what hangs on others, after.

        A refusal of one collection is raised when the others are done.
        """
        refusals = []
        going = {rule.name for rule in self._rules if rule.action == DELETE}
        for rule in self._rules:
            if rule.action == KEEP or rule.parent in going:
                continue
            try:
                for filter_, _end in self._finder.filters(rule):
                    yield from self._matching(rule, partial(dict, filter_))
            except mongo.KindForbids as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]

    def _matching(self, rule: Rule, known: Known) -> Iterator[Progress]:
        """Erase what a filter gives, which is asked for anew before each batch."""
        documents = self._database[rule.collection]
        while True:
            todo = {"$and": [known(), still_personal(rule)]}
            with mongo.foreign_errors():
                ids = [found["_id"] for found in islice(documents.find(todo, {"_id": 1}).limit(BATCH), BATCH)]
            if not ids:
                break
            for child in children_of(self._rules, rule):
                if child.action != KEEP:
                    yield from self._matching(child, partial(self._hanging_on, rule, known, ids, child))
            erased = self._erase(rule, ids, {"$and": [known(), still_personal(rule)]})
            if erased and rule.action == UNSET:
                kept = Kept(rule.name, erased, rule.why, rule.fields)
                yield Progress(erased, "", {"documents overwritten": erased}, (kept,))
            elif erased:
                yield Progress(erased, "", {"documents": erased})
            if not erased:
                break  # what the server keeps is found again at the second look

    def _hanging_on(self, rule: Rule, known: Known, ids: list[Any], child: Rule) -> Filter:
        """Return the filter of what hangs on those of these documents that still are the person's and still go."""
        these = {"$and": [{"_id": {"$in": ids}}, known(), still_personal(rule)]}
        with mongo.foreign_errors():
            still = [found["_id"] for found in self._database[rule.collection].find(these, {"_id": 1})]
        return {child.field: {"$in": still}}

    def _erase(self, rule: Rule, ids: list[Any], todo: Filter) -> int:
        """Erase these documents if they still are the person's."""
        these = {"$and": [{"_id": {"$in": ids}}, todo]}
        with mongo.foreign_errors():
            if rule.action == UNSET:
                gone = {"$unset": dict.fromkeys(rule.fields, "")}
                return self._database[rule.collection].update_many(these, gone).modified_count
            if rule.is_bucket:  # the pieces first: without its entry in .files nobody would find them
                self._database[f"{rule.name}.chunks"].delete_many({"files_id": {"$in": ids}})
            return self._database[rule.collection].delete_many(these).deleted_count
