"""What the engine asks of MongoDB, answered with the rules of its collections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy
from pymongo.database import Database

from apps.locations import deadlines, mongo
from apps.locations.connectors.mongodb import checking
from apps.locations.connectors.mongodb.erasing import Eraser
from apps.locations.connectors.mongodb.exporting import At, Exporter
from apps.locations.connectors.mongodb.forms import ConfigForm
from apps.locations.connectors.mongodb.matching import Filter, Finder, shared, still_personal
from apps.locations.connectors.mongodb.rules import DELETE, KEEP, UNSET, Rule, rules_of
from apps.locations.contract import Change, Entry, Health, Identity, Item, Kept, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import Refused
from apps.locations.known_by import check_identity
from apps.locations.reasons import Reason
from apps.locations.said import said as _


class MongoConnector:
    label = gettext_lazy("MongoDB")
    ConfigForm = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self.rules: list[Rule] = rules_of(config["collections"])

    @contextmanager
    def _open(self, who: Identity | None = None) -> Iterator[tuple[Database[Any], Finder]]:
        if who is not None:
            check_identity(self.identity_kinds(), who)
        with mongo.foreign_errors(), mongo.client_of(self._config) as client:
            database = client[str(self._config["database"])]
            yield database, Finder(database, self.rules, who or _nobody())

    def identity_kinds(self) -> set[str]:
        return {rule.kind for rule in self.rules if rule.kind}

    def summary(self) -> list[str]:
        if not self.rules:
            return [_("Holds only copies that Habeas writes itself: they are erased as copies.")]
        return [sentence for rule in self.rules for sentence in _sentences(rule)]

    def check(self) -> Health:
        with self._open() as (database, _finder):
            facts = checking.facts(database, self.rules)
            found = tuple(checking.problems(database, self.rules))
        days = self._config.get("horizon_days")
        if days is None:
            found = (*found, _("Nobody has said for how long backups and the oplog keep erased documents."))
        return Health(True, _("MongoDB answers."), horizon_days=days, problems=found, facts=tuple(facts))

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        with self._open(who) as (database, finder):
            common, kept = self._of_several(database, finder), self._kept(database, finder)
        whole = sum(one.count for one in kept if not one.without)
        obstacles = [Obstacle(Reason.SHARED, count=common)] if common else []
        return [*obstacles, *([Obstacle(Reason.LEGAL_HOLD, count=whole)] if whole else [])]

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        with self._open(who) as (database, finder):
            for rule in self.rules:
                for filter_, _end in finder.filters(rule):
                    for found in database[rule.collection].find(filter_, {"_id": 1}):
                        deadlines.check_look()
                        kind = "file" if rule.is_bucket else "document"
                        yield Item(f"{rule.name}/{found['_id']}", kind, group=rule.name)

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        """Yield each collection's documents as extended JSON lines, and the files of its GridFS buckets."""
        with self._open(who) as (database, finder):
            yield from Exporter(database, self.rules, finder).entries(At.read(cursor))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        with self._open(who) as (database, finder):
            yield from Eraser(database, self.rules, finder).progress()

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        """Count again on a connection of its own, at the primary."""
        with self._open(who) as (database, finder):
            left = sum(
                _count(database, rule, {"$and": [filter_, still_personal(rule)]})
                for rule in self.rules
                if rule.action != KEEP
                for filter_, _end in finder.filters(rule)
            )
            common, kept = self._of_several(database, finder), self._kept(database, finder)
        whole = sum(one.count for one in kept if not one.without)
        if left:
            return Remaining(left + common + whole, Reason.CANNOT_DELETE, kept=kept)
        if common:
            return Remaining(common + whole, Reason.SHARED, kept=kept)
        return Remaining(whole, Reason.LEGAL_HOLD if whole else "", kept=kept)

    def rectify(self, who: Identity, changes: Sequence[Change]) -> int:
        """Write each change into every collection whose documents have the field; `field` may name the collection."""
        changed = 0
        with self._open(who) as (database, finder):
            for change in changes:
                held = [
                    (rule, path, filter_)
                    for rule in self.rules
                    for path in (change.field, change.field.removeprefix(f"{rule.name}."))
                    for filter_, _end in finder.filters(rule)
                    if path and not path.startswith("$")
                    and database[rule.collection].find_one({"$and": [filter_, {path: {"$exists": True}}]}, {"_id": 1})
                ]  # fmt: skip
                if not held:
                    raise Refused(_("No collection of this place has that field. A person has to look."))
                for rule, path, filter_ in held:
                    changed += _write(database, rule, filter_, path, change)
        return changed

    def restrict(self, who: Identity, on: bool) -> int:
        marked = [rule for rule in self.rules if rule.mark]
        if not marked:
            raise Refused(_("No collection of this place has a field that marks a restriction. A person has to look."))
        changed = 0
        with self._open(who) as (database, finder):
            for rule in marked:
                for filter_, _end in finder.filters(rule):
                    done = database[rule.collection].update_many(filter_, {"$set": {rule.mark: on}})
                    changed += done.modified_count
        return changed

    def _of_several(self, database: Database[Any], finder: Finder) -> int:
        """Count the documents that name several people."""
        return sum(
            _count(database, rule, {"$and": [filter_, shared(rule)]})
            for rule in self.rules
            if rule.action != KEEP
            for filter_, _end in finder.filters(rule)
        )

    def _kept(self, database: Database[Any], finder: Finder) -> tuple[Kept, ...]:
        """Return what stays by the rules; documents that lost the field by which they were known are not found any more."""
        counted = [
            Kept(
                rule.name, sum(_count(database, rule, filter_) for filter_, _end in finder.filters(rule)), rule.why,
                rule.fields if rule.action == UNSET else (),
            )
            for rule in self.rules
            if rule.action != DELETE
        ]  # fmt: skip
        return tuple(kept for kept in counted if kept.count)


def _nobody() -> Identity:
    return Identity(subject_id=UUID(int=0), account_id=None, request_id=None)


def _count(database: Database[Any], rule: Rule, filter_: Filter) -> int:
    return int(database[rule.collection].count_documents(filter_))


def _write(database: Database[Any], rule: Rule, filter_: Filter, path: str, change: Change) -> int:
    there: list[Filter] = [filter_, {path: {"$exists": True}}]
    before = [] if change.before is None else [{path: change.before}]
    unlike = [] if change.value is None else [{path: {"$ne": change.value}}]
    update = {"$unset": {path: ""}} if change.value is None else {"$set": {path: change.value}}
    done = database[rule.collection].update_many({"$and": [*there, *before, *unlike]}, update)
    return int(done.modified_count)


def _sentences(rule: Rule) -> Iterator[str]:
    said = {
        "name": rule.name, "field": rule.field, "kind": rule.kind, "parent": rule.parent, "why": rule.why,
        "fields": ", ".join(rule.fields),
    }  # fmt: skip
    if rule.parent:
        yield _("Finds documents of %(name)s by the document of %(parent)s whose _id is in %(field)s.") % said
    elif rule.is_bucket:
        yield _("Finds files of the GridFS bucket %(name)s by the %(kind)s in %(field)s.") % said
    else:
        yield _("Finds documents of %(name)s by the %(kind)s in %(field)s.") % said
    if rule.action == DELETE:
        yield _("Reads and deletes them; one that names several people is left for a person to look at.")
    elif rule.action == UNSET:
        yield _("Reads them, and in an erasure removes %(fields)s and keeps the rest.") % said
    else:
        yield _("Reads them and keeps them: %(why)s.") % said
