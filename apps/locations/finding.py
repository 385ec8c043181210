"""How a place of files or objects finds a person: by paths, by an inventory file, by labels of the objects.

- **Paths**, as in `users/{user_id}/` (paths.py).
- **An inventory**: a file of the operator's in the place that names the keys of each person. CSV with a header, or JSON
  lines; one column is called like the kind of identity, the other `key`.
- **Labels** (tags, or metadata that the operator's programs write): every object below a declared prefix whose label has
  the person's value. What that costs in requests, each kind says.

All three together are turned into searches that do not overlap, in the order of their paths.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from apps.locations.contract import Identity
from apps.locations.errors import NoIdentity, Refused
from apps.locations.fields import PathTemplatesField
from apps.locations.paths import KIND, finds_below, kinds_in, resolve
from apps.locations.said import said as _

Labels = Callable[[], Mapping[str, str]]
Reader = Callable[[str], Iterable[bytes]]
LONGEST_LINE = 1024 * 1024


class FindingForm(forms.Form):
    """The part of a kind's form that says how it finds people; at least one way is wanted."""

    templates = PathTemplatesField(required=False)
    inventory = forms.CharField(
        label=gettext_lazy("Inventory file"), required=False, max_length=1024,
        help_text=gettext_lazy(
            "Where paths do not name people: a file here that says which keys are whose. CSV with a header, or JSON lines; "
            "one column is called key, the other like the kind of identity."
        ),
    )  # fmt: skip
    inventory_kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("Kind of identity in the inventory"), required=False, initial="user_id",
        error_messages={"invalid": gettext_lazy("Write a kind such as user_id: small letters, digits and _.")},
    )  # fmt: skip

    def clean_inventory(self) -> str:
        path = str(self.cleaned_data["inventory"])
        if path.startswith("/") or path.endswith("/") or ".." in path.split("/"):
            raise ValidationError(_("Write the path of one file below the root, as in meta/keys.csv"))
        return path

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("inventory") and not data.get("inventory_kind"):
            self.add_error("inventory_kind", _("Say by which kind of identity the inventory knows people."))
        if data.get("label_name") and not data.get("label_kind"):
            self.add_error("label_kind", _("Say which kind of identity stands in the label."))
        if not self.errors and not any(data.get(way) for way in ("templates", "inventory", "label_name")):
            self.add_error("templates", _("Say how a person is found: by paths, an inventory or labels."))
        return data


class LabelledFindingForm(FindingForm):
    """The same for kinds whose objects have labels."""

    label_name = forms.CharField(
        label=gettext_lazy("Label that names the person"), required=False, max_length=128,
        help_text=gettext_lazy("A tag or a piece of metadata of each object, as in: owner"),
    )  # fmt: skip
    label_kind = forms.RegexField(
        rf"\A{KIND}\Z", label=gettext_lazy("Kind of identity in the label"), required=False, initial="user_id",
        error_messages={"invalid": gettext_lazy("Write a kind such as user_id: small letters, digits and _.")},
    )  # fmt: skip
    label_prefix = forms.CharField(
        label=gettext_lazy("Only below"), required=False, max_length=1024,
        help_text=gettext_lazy("Labels are looked at below this path only, as in uploads/. Empty: everywhere."),
    )  # fmt: skip


@dataclass(frozen=True)
class Search:
    """A path to look below (or, without "/" at its end, one key), and what of it is the person's."""

    path: str
    whole: tuple[str, ...] = ()  # with a label: paths below that are the person's whatever their label
    label: str = ""
    values: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_labelled(self) -> bool:
        return bool(self.label)

    def takes(self, key: str, labels: Labels) -> bool:
        """Say whether a key found by this search is the person's; labels are asked for only where they decide."""
        if not self.is_labelled:
            return covers(self.path, key)
        return any(covers(path, key) for path in self.whole) or labels().get(self.label) in self.values


class Finding:
    """The ways of one place, from its configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.templates: list[str] = list(config.get("templates") or [])
        self.inventory = str(config.get("inventory") or "")
        self.inventory_kind = str(config.get("inventory_kind") or "")
        self.label = str(config.get("label_name") or "")
        self.label_kind = str(config.get("label_kind") or "")
        self.label_prefix = str(config.get("label_prefix") or "")

    def kinds(self) -> set[str]:
        """Return the kinds of identity that it asks for."""
        kinds = kinds_in(self.templates)
        kinds |= {self.inventory_kind} if self.inventory else set()
        return kinds | ({self.label_kind} if self.label else set())

    def words(self) -> list[str]:
        """Say how people are found, a sentence for each way."""
        said = finds_below(self.templates)
        if self.inventory:
            values = {"file": self.inventory, "kind": self.inventory_kind}
            said.append(
                _("Finds the keys that %(file)s names for the person's %(kind)s; only what stands there.") % values
            )
        if self.label:
            values = {"label": self.label, "kind": self.label_kind, "prefix": self.label_prefix or "/"}
            said.append(_("Finds what is labelled %(label)s with the person's %(kind)s below %(prefix)s.") % values)
        return said

    def searches(self, who: Identity, read: Reader) -> list[Search]:
        """Return where to look, in the order of the paths, none inside another. Raises NoIdentity."""
        paths: list[str] = []
        is_known = False
        for way in (self._paths, lambda who: self._listed(who, read)):
            try:
                paths += way(who)
                is_known = True
            except NoIdentity:
                continue
        values = frozenset(who.of_kind(self.label_kind)) if self.label else frozenset()
        if not is_known and not values:
            kinds = ", ".join(sorted(self.kinds()))
            raise NoIdentity(
                _("This place knows people by %(kinds)s, and none is known of this person.") % {"kinds": kinds}
            )
        outer = outermost(paths)
        if not values:
            return [Search(path) for path in outer]
        inside = tuple(path for path in outer if path.startswith(self.label_prefix))
        if any(self.label_prefix.startswith(path) for path in outer if path.endswith("/")):
            return [Search(path) for path in outer]  # all below the labels' prefix is the person's anyhow
        rest = [Search(path) for path in outer if path not in inside]
        return sorted([*rest, Search(self.label_prefix, inside, self.label, values)], key=lambda one: one.path)

    def _paths(self, who: Identity) -> list[str]:
        if not self.templates:
            raise NoIdentity
        return resolve(self.templates, who)

    def _listed(self, who: Identity, read: Reader) -> list[str]:
        values = set(who.of_kind(self.inventory_kind))
        if not self.inventory or not values:
            raise NoIdentity
        return list(dict.fromkeys(_keys_of(values, self.inventory_kind, read(self.inventory))))


def covers(path: str, key: str) -> bool:
    """A path that ends in "/" (or is empty) means everything below; any other means that very key and no longer one."""
    return key.startswith(path) if path.endswith("/") or not path else key == path


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths in order, without those that lie below another."""
    kept: list[str] = []
    folder = ""
    for path in sorted(set(paths)):
        if folder and path.startswith(folder):
            continue
        kept.append(path)
        if path.endswith("/"):
            folder = path
    return kept


def _keys_of(values: set[str], kind: str, chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the keys that an inventory names for these values; raises Refused for one that cannot be understood."""
    wrong = Refused(
        _("The inventory cannot be understood: it needs the columns key and %(kind)s. A person has to look.")
        % {"kind": kind}
    )
    lines = _lines(chunks)
    first = next(lines, "")
    if first.lstrip().startswith("{"):
        rows: Iterator[Mapping[str, Any]] = _json_rows(first, lines, wrong)
    else:
        header = next(csv.reader([first]), [])
        if not {"key", kind} <= set(header):
            raise wrong
        rows = (dict(zip(header, row, strict=False)) for row in csv.reader(lines))
    for row in rows:
        if "key" not in row or kind not in row:
            raise wrong
        if str(row[kind]).strip() in values:
            yield _harmless(str(row["key"]))


def _json_rows(first: str, lines: Iterator[str], wrong: Refused) -> Iterator[Mapping[str, Any]]:
    for line in chain([first], lines):
        if line.strip():
            yield _json_row(line, wrong)


def _json_row(line: str, wrong: Refused) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        raise wrong from None
    if not isinstance(row, dict):
        raise wrong
    return row


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    pending = ""
    try:
        for chunk in chunks:
            pending += decoder.decode(chunk)
            *whole, pending = pending.split("\n")
            yield from (f"{line}\n" for line in whole)
            if len(pending) > LONGEST_LINE:
                raise Refused(_("A line of the inventory is longer than any key. A person has to look."))
        pending += decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Refused(_("The inventory is not written in UTF-8. A person has to look.")) from None
    if pending:
        yield pending


def _harmless(key: str) -> str:
    if not key or key.startswith("/") or key.endswith("/") or "\x00" in key or ".." in key.split("/"):
        raise Refused(_("The inventory names something that is not one key. A person has to look."))
    return key
