"""Whether requests find what a source reads. The rules of a place and the mapping of a source are written apart.

What is read there is there, too: where the rules name another table or folder, an erasure would leave it, and a source
that adds people would bring it in again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from apps.locations.connectors.sql.rules import split_name
from apps.locations.finding import covers
from apps.locations.models import Location
from apps.locations.paths import PLACEHOLDER
from apps.locations.services import config_of

ANYBODY = "somebody"  # stands for the person in paths that are compared


def missed_by_requests(location: Location, mapping: dict[str, Any]) -> list[str]:
    """Return, in words for staff, what is read and not found by requests; empty too where only the place could tell."""
    missed = WAYS[location.kind](config_of(location), mapping) if location.kind in WAYS else ""
    return [missed] if missed else []


def _missed_table(config: dict[str, Any], mapping: dict[str, Any]) -> str:
    named = [str(line["table"]) for line in config.get("tables", [])]
    wanted = _parts(str(mapping["table"]))
    if any(_is_one(_parts(name), wanted) for name in named):
        return ""
    return _said_of_tables(str(mapping["table"]), named)


def _missed_collection(config: dict[str, Any], mapping: dict[str, Any]) -> str:
    named = [f"{line['collection']}.files" if line.get("is_bucket") else str(line["collection"]) for line in config.get("collections", [])]  # fmt: skip
    return "" if mapping["table"] in named else _said_of_tables(str(mapping["table"]), named)


def _said_of_tables(read: str, named: list[str]) -> str:
    there = ", ".join(dict.fromkeys(named)) or "–"
    words = _(
        "Requests do not look into %(read)s: the place names %(named)s. Access would leave out what is read from there, and an "
        "erasure would leave it where it is. Add it on the page of the place."
    )
    return words % {"read": read, "named": there}


def _missed_files(config: dict[str, Any], mapping: dict[str, Any]) -> str:
    """Compare the paths, with somebody in the place of the person; inventories and labels only the place itself knows."""
    if config.get("inventory") or config.get("label_name"):
        return ""
    path = "/".join(part for part in (str(mapping.get("folder") or ""), str(mapping["path"])) if part)
    kinds = set(PLACEHOLDER.findall(path))
    templates = [str(template) for template in config.get("templates") or []]
    same = (template for template in templates if set(PLACEHOLDER.findall(template)) == kinds)
    if any(covers(PLACEHOLDER.sub(ANYBODY, template), PLACEHOLDER.sub(ANYBODY, path)) for template in same):
        return ""
    words = _(
        "Requests do not look below %(read)s: the place finds people by %(named)s. Access would leave out what is read from "
        "there, and an erasure would leave it where it is. Add the path on the page of the place."
    )
    return words % {"read": path, "named": ", ".join(templates) or "–"}


def _parts(name: str) -> tuple[str | None, str]:
    try:
        return split_name(name)
    except ValueError:
        return None, name


def _is_one(one: tuple[str | None, str], other: tuple[str | None, str]) -> bool:
    """A name without a schema means the usual one, which nobody here knows by name."""
    return one[1] == other[1] and (one[0] == other[0] or None in (one[0], other[0]))


WAYS: dict[str, Callable[[dict[str, Any], dict[str, Any]], str]] = {
    "sql": _missed_table, "mongodb": _missed_collection,
    "files": _missed_files, "s3": _missed_files, "gcs": _missed_files, "azure": _missed_files, "sftp": _missed_files,
}  # fmt: skip
