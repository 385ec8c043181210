"""What staff say about the tables of a place: how each knows the person, and what becomes of its rows.

A table knows the person by a column that holds one of their identities, or by belonging to a row of another table. Several
rules of one table are read as "or". Children come before what they hang on, so that nothing is left that cannot be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

DELETE, ANONYMISE, KEEP = "delete", "anonymise", "keep"
NAME = re.compile(r'\A(?:("[^"]+"|[^".\s]+)\.)?("[^"]+"|[^".\s]+)\Z')


@dataclass(frozen=True)
class Link:
    """How rows are known: `columns` hold an identity of `kind`, or point to a row of the table `parent`."""

    columns: tuple[str, ...]
    kind: str = ""
    parent: str = ""
    ignore_case: bool = False


@dataclass(frozen=True)
class TableRule:
    name: str
    links: tuple[Link, ...]
    action: str = DELETE
    values: tuple[tuple[str, str | None], ...] = ()  # what anonymised columns hold afterwards; None: NULL
    why: str = ""  # why rows stay, for the receipt
    mark: str = ""  # the column that says: restricted, leave it alone

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are overwritten."""
        return tuple(column for column, _value in self.values)

    @property
    def parents(self) -> set[str]:
        return {link.parent for link in self.links if link.parent}


def split_name(name: str) -> tuple[str | None, str]:
    """Return schema and table of `orders`, `shop.orders` or `"odd.schema"."odd table"`."""
    match = NAME.match(name)
    if match is None:
        raise ValueError
    schema, table = match.groups()
    return (schema.strip('"') if schema else None), table.strip('"')


def rules_of(lines: Iterable[Mapping[str, Any]]) -> list[TableRule]:
    """Return one rule for each table, from the lines of the form."""
    rules: dict[str, TableRule] = {}
    for line in lines:
        link = Link(
            tuple(line["columns"]), str(line.get("kind") or ""), str(line.get("parent") or ""), bool(line.get("ignore_case"))
        )  # fmt: skip
        name = str(line["table"])
        known = rules.get(name)
        rules[name] = TableRule(
            name,
            (*(known.links if known else ()), link),
            str(line.get("action") or DELETE),
            (*(known.values if known else ()), *(line.get("values") or {}).items()),
            (known.why if known else "") or str(line.get("why") or ""),
            (known.mark if known else "") or str(line.get("mark") or ""),
        )
    return list(rules.values())


def check_rules(lines: list[dict[str, Any]]) -> None:
    """Refuse rules that contradict each other; raises ValidationError in the administrator's words."""
    if not any(line["kind"] for line in lines):
        raise ValidationError(_("Name at least one table with a column that holds an identity."))
    names = {line["table"] for line in lines}
    actions: dict[str, str] = {}
    for line in lines:
        name, parent = line["table"], line["parent"]
        if parent and parent not in names:
            raise ValidationError(_("%(table)s belongs to %(parent)s, which is not among the tables: add it too.") % {"table": name, "parent": parent})  # fmt: skip
        if actions.setdefault(name, line["action"]) != line["action"]:
            raise ValidationError(_("%(table)s stands here twice, with two different ends for its rows.") % {"table": name})  # fmt: skip
    rules = rules_of(lines)
    try:
        order_of(rules)
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ValidationError(_("These tables belong to each other in a circle: %(circle)s.") % {"circle": circle}) from None  # fmt: skip
    for rule in rules:
        gone = [parent for parent in rule.parents if actions[parent] != KEEP]
        if rule.action == KEEP and gone and not any(link.kind for link in rule.links):
            raise ValidationError(_("Rows of %(table)s cannot be kept: when %(parent)s is erased, nobody could tell whose they are.") % {"table": rule.name, "parent": gone[0]})  # fmt: skip


def order_of(rules: list[TableRule], points_to: Mapping[str, set[str]] | None = None) -> list[TableRule]:
    """Return the rules in the order of erasing: what hangs on a table comes before it. Raises CycleError.

    `points_to`: by foreign keys of the database, beside what the rules say.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter({rule.name: () for rule in rules})
    for rule in rules:
        for parent in rule.parents | set((points_to or {}).get(rule.name, ())):
            if parent != rule.name or parent in rule.parents:
                sorter.add(parent, rule.name)
    by_name = {rule.name: rule for rule in rules}
    return [by_name[name] for name in sorter.static_order()]


def kinds_of(rules: Iterable[TableRule]) -> set[str]:
    """Return the kinds of identity by which the tables know people."""
    return {link.kind for rule in rules for link in rule.links if link.kind}
