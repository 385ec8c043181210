"""What the rules of the tables come to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from apps.locations.connectors.sql.rules import ANONYMISE, DELETE, TableRule


def sentences(rules: list[TableRule]) -> Iterator[str]:
    for rule in rules:
        yield _("Finds rows of %(table)s %(how)s.") % {"table": rule.name, "how": _(" or ").join(_known_by(rule))}
    if not rules:
        yield _("Holds only copies that Habeas writes itself: they are erased as copies.")
        return
    yield _("Reads them as JSON lines, one file a table; large values are files of their own.")
    deleted = [rule.name for rule in rules if rule.action == DELETE]
    if deleted:
        yield _("Deletes the rows of %(tables)s, what hangs on a row before the row.") % {"tables": ", ".join(deleted)}
    for rule in rules:
        said = {"table": rule.name, "columns": ", ".join(name for name, _value in rule.values), "why": rule.why}
        if rule.action == ANONYMISE:
            yield _("Overwrites %(columns)s in %(table)s and keeps the rest of the row.") % said
        elif rule.action != DELETE:
            yield _("Keeps the rows of %(table)s: %(why)s.") % said
    marked = [rule.name for rule in rules if rule.mark]
    if marked:
        yield _("Marks rows of %(tables)s when processing is restricted.") % {"tables": ", ".join(marked)}


def _known_by(rule: TableRule) -> Iterator[str]:
    for link in rule.links:
        said = {"column": ", ".join(link.columns), "kind": link.kind, "parent": link.parent}
        if link.parent:
            yield _("by the row of %(parent)s that %(column)s points to") % said
        else:
            yield _("by the %(kind)s in %(column)s") % said
