"""What stands in the way of erasing in MongoDB: roles, kinds of collections, images kept for change streams, indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from apps.locations.connectors.mongodb.rules import DELETE, UNSET, Rule
from apps.locations.said import said as _


def facts(database: Database[Any], rules: list[Rule]) -> list[tuple[str, str]]:
    version = str(database.client.admin.command("buildInfo")["version"])
    hello = database.client.admin.command("hello")
    found = [(_("Server"), f"MongoDB {version}"), (_("Replica set"), str(hello.get("setName") or _("none")))]
    unindexed = ", ".join(_without_index(database, rules))
    if unindexed:
        found.append((_("Fields without an index: each look reads the whole collection"), unindexed))
    return found


def problems(database: Database[Any], rules: list[Rule]) -> Iterator[str]:
    hello = database.client.admin.command("hello")
    if not hello.get("isWritablePrimary", True):
        yield _("This server is a secondary: nothing can be erased here. Name the replica set or the primary.")
    if hello.get("setName"):
        yield _("The replica set's oplog keeps what was written until it is overwritten: count it into the days below.")
    kinds = {found["name"]: found for found in database.list_collections()}
    granted = _granted(database)
    for rule in rules:
        found = kinds.get(rule.collection)
        if found is None:
            yield _("There is no collection %(name)s yet.") % {"name": rule.collection}
            continue
        options = found.get("options", {})
        if found.get("type") == "view":
            yield _("%(name)s is a view: name the collection behind it.") % {"name": rule.name}
        if found.get("type") == "timeseries" or options.get("capped"):
            yield _("%(name)s is capped or a time series: older servers cannot delete single documents there.") % {"name": rule.name}  # fmt: skip
        if options.get("changeStreamPreAndPostImages", {}).get("enabled"):
            yield _("%(name)s keeps images of deleted documents for change streams until they expire.") % {"name": rule.name}  # fmt: skip
        yield from _missing_actions(database, rule, granted)


def _granted(database: Database[Any]) -> list[dict[str, Any]] | None:
    """Return what our user may do; None where nobody has to sign in."""
    status = database.client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    if not status.get("authenticatedUsers"):
        return None
    privileges: list[dict[str, Any]] = status.get("authenticatedUserPrivileges", [])
    return privileges


def _missing_actions(database: Database[Any], rule: Rule, granted: list[dict[str, Any]] | None) -> Iterator[str]:
    if granted is None:
        return
    wanted = ["find", *(["remove"] if rule.action == DELETE else []), *(["update"] if rule.action == UNSET or rule.mark else [])]  # fmt: skip
    may = {
        action
        for privilege in granted
        for action in privilege.get("actions", [])
        if _covers(privilege.get("resource", {}), database.name, rule.collection)
    }
    for action in wanted:
        if action not in may and "anyAction" not in may:
            yield _("The permission %(permission)s on %(table)s is missing.") % {"permission": action, "table": rule.collection}  # fmt: skip


def _covers(resource: dict[str, Any], database: str, collection: str) -> bool:
    if resource.get("anyResource"):
        return True
    return resource.get("db") in {"", database} and resource.get("collection") in {"", collection}


def _without_index(database: Database[Any], rules: list[Rule]) -> Iterator[str]:
    there = set(database.list_collection_names())
    for rule in rules:
        if rule.collection in there:
            firsts = {next(iter(index["key"])) for index in database[rule.collection].list_indexes()}
            if rule.field not in firsts:
                yield f"{rule.collection}.{rule.field}"
