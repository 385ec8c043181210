"""What became of an import, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

MAX_SKIPPED = 1_000  # a file of another kind would otherwise fill the report with its pieces


@dataclass(slots=True)
class Commit:
    """What one transaction adds. `items` are the conversations (skipped ones too) that are done with it."""

    conversations: int = 0
    messages: int = 0
    attachments: int = 0
    already_held: int = 0
    items: int = 0

    def __add__(self, other: Commit) -> Commit:
        return Commit(
            self.conversations + other.conversations,
            self.messages + other.messages,
            self.attachments + other.attachments,
            self.already_held + other.already_held,
            self.items + other.items,
        )

    def __bool__(self) -> bool:
        return self != Commit()


@dataclass
class ImportReport:
    """Each conversation of a file counts once: in `conversations` if something of it was stored, else in `already_held`.

    `messages` and `attachments` are those that were stored now. `skipped` names what was not understood, and why.
    """

    format: str = ""
    conversations: int = 0
    messages: int = 0
    attachments: int = 0
    already_held: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    skipped_count: int = 0

    def skip(self, what: str, why: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append({"what": what, "why": why})

    def add(self, commit: Commit) -> None:
        self.conversations += commit.conversations
        self.messages += commit.messages
        self.attachments += commit.attachments
        self.already_held += commit.already_held

    @property
    def read(self) -> int:
        """How many conversations were understood."""
        return self.conversations + self.already_held

    def as_dict(self) -> dict[str, Any]:
        """Return the report in the form of the command and of the sealed copy."""
        more = self.skipped_count - len(self.skipped)
        rest = (
            [{"what": _("%(count)s more") % {"count": more}, "why": _("Only the first ones are listed.")}]
            if more
            else []
        )
        return {
            "format": self.format,
            "conversations": self.conversations,
            "messages": self.messages,
            "attachments": self.attachments,
            "already_held": self.already_held,
            "skipped": self.skipped + rest,
        }
