"""What staff say about the collections of a place: how each knows the person, and what becomes of its documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

DELETE, UNSET, KEEP = "delete", "unset", "keep"
PATH = re.compile(r"\A[^.$\x00][^.\x00]*(\.[^.$\x00][^.\x00]*)*\Z")


@dataclass(frozen=True)
class Rule:
    """`field` holds an identity of `kind`, or the _id of a document of the collection `parent`."""

    name: str
    field: str
    kind: str = ""
    parent: str = ""
    is_bucket: bool = False  # of GridFS: name.files and name.chunks
    action: str = DELETE
    fields: tuple[str, ...] = ()  # unset
    why: str = ""
    mark: str = ""

    @property
    def collection(self) -> str:
        """The collection whose documents are known by the field."""
        return f"{self.name}.files" if self.is_bucket else self.name

    @property
    def prefixes(self) -> list[str]:
        """The paths at which a list would mean several values: a, a.b, a.b.c."""
        parts = self.field.split(".")
        return [".".join(parts[: number + 1]) for number in range(len(parts))]


def rules_of(lines: Iterable[Mapping[str, Any]]) -> list[Rule]:
    return [
        Rule(
            line["collection"], line["field"], line.get("kind") or "", line.get("parent") or "",
            bool(line.get("is_bucket")), line.get("action") or DELETE, tuple(line.get("fields") or ()),
            line.get("why") or "", line.get("mark") or "",
        )
        for line in lines
    ]  # fmt: skip


def children_of(rules: list[Rule], parent: Rule) -> Iterator[Rule]:
    return (rule for rule in rules if rule.parent == parent.name)


def check_rules(lines: list[dict[str, Any]]) -> None:
    """Refuse rules that contradict each other; raises ValidationError in the administrator's words."""
    if not any(line["kind"] for line in lines):
        raise ValidationError(_("Name at least one collection with a field that holds an identity."))
    actions = {line["collection"]: line["action"] for line in lines}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for line in lines:
        name, parent = line["collection"], line["parent"]
        said = {"name": name, "parent": parent}
        if parent and parent not in actions:
            raise ValidationError(_("%(name)s belongs to %(parent)s, which is not among the collections: add it too.") % said)  # fmt: skip
        if parent and line["action"] == KEEP and actions[parent] == DELETE:
            raise ValidationError(_("Documents of %(name)s cannot be kept: when %(parent)s is erased, nobody could tell whose they are.") % said)  # fmt: skip
        if parent:
            sorter.add(name, parent)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ValidationError(_("These collections belong to each other in a circle: %(circle)s.") % {"circle": circle}) from None  # fmt: skip
