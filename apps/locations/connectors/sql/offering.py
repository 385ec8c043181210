"""What a database can tell an administrator who sets it up: its tables, and what hangs on those that are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from sqlalchemy import Connection, inspect

from apps.locations import sql
from apps.locations.connectors.sql.rules import rules_of
from apps.locations.connectors.sql.schema import Schema

MOST_NAMES = 60
TELLING = ("email", "mail", "user_id", "phone", "account_id")


@dataclass
class Findings:
    lines: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""


def findings(config: dict[str, Any], lines: list[dict[str, Any]]) -> Findings:
    """Return a line for each table that hangs on those given, and what that hangs on them in turn."""
    with sql.connected(config) as connection:
        if not lines:
            return Findings([{}], _tables(connection))
        schema = Schema(connection, rules_of(lines))
        known, found = {line["table"] for line in lines}, []
        keys = [key for key in schema.foreign_keys() if key.table != key.target]
        targets = set(known)
        while targets:
            hanging = [key for key in keys if key.target in targets and key.table not in known]
            found += [_line(key.table, key.columns, key.target) for key in hanging]
            targets = {key.table for key in hanging}
            known |= targets
    return Findings(found, _said(len({line["table"] for line in found})))


def _line(table: str, columns: tuple[str, ...], target: str) -> dict[str, Any]:
    return {
        "table": table, "columns": list(columns), "kind": "", "parent": target, "ignore_case": False,
        "action": "delete", "values": {}, "why": "", "mark": "",
    }  # fmt: skip


def _said(count: int) -> str:
    if not count:
        return _("No other table points to these by a foreign key.")
    return ngettext(
        "%(count)s table belongs to these and was added below. Look at what is to become of its rows.",
        "%(count)s tables belong to these and were added below. Look at what is to become of their rows.",
        count,
    ) % {"count": count}


def _tables(connection: Connection) -> str:
    """Name the tables, with the columns that look like an identity."""
    described = []
    for (_schema, name), columns in sorted(inspect(connection).get_multi_columns().items()):
        telling = [column["name"] for column in columns if str(column["name"]).lower() in TELLING]
        described.append(f"{name} ({', '.join(telling)})" if telling else name)
    more = " …" if len(described) > MOST_NAMES else ""
    return _("The database has these tables: %(names)s. Name those that know people.") % {
        "names": ", ".join(described[:MOST_NAMES]) + more
    }
