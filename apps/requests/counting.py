"""Counts in words: "213 conversations, 9,251 messages". Connectors count by kind; here each kind has its measure word."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

WORDS = {
    "conversations": ngettext_lazy("%(shown)s conversation", "%(shown)s conversations", "number"),
    "messages": ngettext_lazy("%(shown)s message", "%(shown)s messages", "number"),
    "attachments": ngettext_lazy("%(shown)s attachment", "%(shown)s attachments", "number"),
    "imports": ngettext_lazy("%(shown)s import", "%(shown)s imports", "number"),
    "identities": ngettext_lazy("%(shown)s address or id", "%(shown)s addresses or ids", "number"),
    "people": ngettext_lazy("%(shown)s profile", "%(shown)s profiles", "number"),
    "archives": ngettext_lazy("%(shown)s archive", "%(shown)s archives", "number"),
    "copies": ngettext_lazy("%(shown)s copy", "%(shown)s copies", "number"),
    "files": ngettext_lazy("%(shown)s file", "%(shown)s files", "number"),
    "directories": ngettext_lazy("%(shown)s folder", "%(shown)s folders", "number"),
    "objects": ngettext_lazy("%(shown)s object", "%(shown)s objects", "number"),
    "versions": ngettext_lazy("%(shown)s version", "%(shown)s versions", "number"),
    "uploads": ngettext_lazy("%(shown)s unfinished upload", "%(shown)s unfinished uploads", "number"),
    "records": ngettext_lazy("%(shown)s record", "%(shown)s records", "number"),
    "rows": ngettext_lazy("%(shown)s row", "%(shown)s rows", "number"),
    "rows overwritten": ngettext_lazy(
        "%(shown)s row overwritten in part", "%(shown)s rows overwritten in part", "number"
    ),
    "documents": ngettext_lazy("%(shown)s document", "%(shown)s documents", "number"),
    "documents overwritten": ngettext_lazy(
        "%(shown)s document emptied in part", "%(shown)s documents emptied in part", "number"
    ),
    "users": ngettext_lazy("%(shown)s user", "%(shown)s users", "number"),
    "accounts": ngettext_lazy("%(shown)s account", "%(shown)s accounts", "number"),
    "sessions": ngettext_lazy("%(shown)s session", "%(shown)s sessions", "number"),
    "sign-ins": ngettext_lazy("%(shown)s sign-in", "%(shown)s sign-ins", "number"),
    "second factors": ngettext_lazy("%(shown)s second factor", "%(shown)s second factors", "number"),
    "addresses": ngettext_lazy("%(shown)s sign-in address", "%(shown)s sign-in addresses", "number"),
    "admin log": ngettext_lazy("%(shown)s line of the staff log", "%(shown)s lines of the staff log", "number"),
    "officer handles": ngettext_lazy("%(shown)s handle", "%(shown)s handles", "number"),
    "letters": ngettext_lazy("%(shown)s letter", "%(shown)s letters", "number"),
    "requests": ngettext_lazy("%(shown)s request", "%(shown)s requests", "number"),
    "requests minimised": ngettext_lazy("%(shown)s request minimised", "%(shown)s requests minimised", "number"),
}
UNITS = {  # what a kind of place counts where only a number is known; "items" for every other one
    "archives": "archives", "account": "records", "files": "files", "sftp": "files", "storage": "files",
    "s3": "objects", "gcs": "objects", "azure": "objects", "sql": "rows", "mongodb": "documents",
}  # fmt: skip
ITEMS = ngettext_lazy("%(shown)s item", "%(shown)s items", "number")
SINGULARS = {"identity": "identities", "directory": "directories", "copy": "copies", "person": "people"}
MARKS_OF_THE_ENGINE = "found again "  # counts that the second look keeps for itself


def count_words(counts: Mapping[str, int]) -> str:
    """Say what was counted, in the order of WORDS; "" when there is nothing."""
    known = {
        _plural(kind): number for kind, number in counts.items() if number and not kind.startswith(MARKS_OF_THE_ENGINE)
    }
    order = [*(kind for kind in WORDS if kind in known), *(kind for kind in known if kind not in WORDS)]
    return _(", ").join(_words(kind, known[kind]) for kind in order)


def done_words(counts: Mapping[str, int], place_kind: str, done: int) -> str:
    """Say what was done in a place: by kind, or, where only a number is known, in what such a place counts."""
    return count_words(counts) or count_words({UNITS.get(place_kind, "items"): done})


def _plural(kind: str) -> str:
    if kind in WORDS or kind in SINGULARS:
        return SINGULARS.get(kind, kind)
    return f"{kind}s"


def _words(kind: str, number: int) -> str:
    return str(WORDS.get(kind, ITEMS) % {"number": number, "shown": intcomma(number)})
