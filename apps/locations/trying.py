"""Trying a place before it is saved: whether it answers, what it would do, and what it holds of one identity.

Names may be personal. Administrators see counts and a few names of which only the beginnings are left, enough to tell
whether a path leads where it should.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from apps.locations.contract import Identity, Item, Recognises, Scope, Summarises
from apps.locations.deadlines import looking_for
from apps.locations.errors import LocationError

COUNTED = 10_000
LOOK_SECONDS = 60
USUAL_KINDS = ("user_id", "email", "phone", "subject_id")
NAMES_SHOWN = 5
HARMLESS_ENDING = re.compile(r"\.[A-Za-z0-9]{1,5}\Z")


@dataclass
class Preview:
    """What a place holds of one identity: counted by kind, and a few masked names."""

    error: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    requests: int = 0  # that it took, where a kind counts them

    @property
    def lines(self) -> list[tuple[str, int]]:
        """Counts by kind, for the page: a template takes `counts.items` for a kind that is called so."""
        return list(self.counts.items())

    @property
    def count(self) -> int:
        return self.counts.total()

    @property
    def is_more(self) -> bool:
        return self.count >= COUNTED


def preview(connector: Any, kind: str, value: str) -> Preview:
    """Count what a place finds for one identity; a trouble of the place is said in its place."""
    try:
        who = identity(kind, value)
    except ValueError:
        return Preview(error=_("This is not an id."))
    seen = Preview()
    try:
        with looking_for(LOOK_SECONDS):
            for item in islice(connector.find(who, Scope()), COUNTED):
                seen.counts[item.group or item.kind] += 1
                if len(seen.names) < NAMES_SHOWN:
                    seen.names.append(shown(item, value))
    except LocationError as error:
        return Preview(error=error.said)
    seen.requests = getattr(connector, "requests_made", 0)
    return seen


def identity(kind: str, value: str) -> Identity:
    """Return somebody known by this value alone; raises ValueError for a subject_id that is none."""
    if kind == "subject_id":
        return Identity(UUID(value), None, None)
    return Identity(uuid4(), None, None, ((kind, value),))


def shown(item: Item, value: str) -> str:
    """Return what may be shown of an item: the folder that names the looked-for person, then beginnings only."""
    if item.shown:
        return item.shown
    parts = item.name.split("/")
    known = max((number for number, part in enumerate(parts) if value in part), default=-1)
    return "/".join(part if number <= known else _masked(part) for number, part in enumerate(parts))


def _masked(part: str) -> str:
    ending = HARMLESS_ENDING.search(part)
    written = ending.group() if ending else ""
    stem = part.removesuffix(written)
    return part if len(stem) <= 3 else f"{stem[:2]}…{written}"


def summary_of(connector: Any) -> list[str]:
    """Return what a place would do with its settings, in sentences; empty where a kind does not say."""
    return connector.summary() if isinstance(connector, Summarises) else []


def doubts_of(connector: Any, kind: str) -> list[str]:
    """Say which kinds of identity in a place's settings nobody is known by so far: a slip, or one of the operator's own.

    What a kind of place notes by itself begins with its name, as openai_response does, and is no doubt.
    """
    asked = connector.identity_kinds() if isinstance(connector, Recognises) else set()
    odd = sorted(one for one in asked - {*USUAL_KINDS} if not one.startswith(f"{kind}_"))
    if not odd:
        return []
    noted = set(import_string(settings.KINDS_OF_IDENTITY)())
    known = ", ".join(sorted(noted | {*USUAL_KINDS}))
    said = _(
        "Nobody is known by “%(kind)s” so far, so nobody would be found by it. Kinds of identity are: %(known)s. "
        "One of your own works once people have it."
    )
    return [said % {"kind": one, "known": known} for one in odd if one not in noted]
