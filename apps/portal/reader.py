"""A message as it is shown: who says it, its parts, and which of its files may be seen as pictures."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from apps.records.importers.display import Part, text_of
from apps.records.importers.types import Node
from apps.records.opening import FileInfo, author_of
from apps.records.selectors import Turn
from apps.records.tree import Branch

SHOWN_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}  # none of them can hold a script
LARGEST_IMAGE = 20 * 1024 * 1024


@dataclass(frozen=True)
class ShownPart:
    kind: str
    text: str
    file: FileInfo | None = None
    is_shown: bool = False  # as a picture


@dataclass(frozen=True)
class ShownTurn:
    turn: Turn
    who: str
    is_mine: bool
    parts: list[ShownPart]


@dataclass(frozen=True)
class ShownBranch:
    leaf: int
    label: str


def show_turn(turn: Turn, files: dict[str, FileInfo]) -> ShownTurn:
    return ShownTurn(turn, who_says(turn.role), turn.role == "user", [_show_part(part, files) for part in turn.parts])


def show_message(node: Node) -> ShownTurn:
    """Show one message by itself, without its place in the conversation; files are named."""
    parts = text_of(node)
    turn = Turn(0, 0, node.role, node.created_at, author_of(node), parts)
    return show_turn(turn, {})


def show_branch(branch: Branch) -> ShownBranch:
    words = ngettext("%(count)s message", "%(count)s messages", branch.length) % {"count": branch.length}
    if branch.splits_after:
        return ShownBranch(
            branch.leaf,
            _("Splits off after message %(number)s, %(words)s in all")
            % {"number": branch.splits_after, "words": words},
        )
    return ShownBranch(branch.leaf, _("Splits off at the beginning, %(words)s in all") % {"words": words})


def who_says(role: str) -> str:
    names = {
        "user": pgettext("who wrote it", "You"),
        "assistant": _("Assistant"),
        "system": _("Instructions"),
        "developer": _("Instructions"),
        "tool": _("Tool"),
        "function": _("Tool"),
        "unknown": _("Text"),
        "": _("Text"),
    }
    return names.get(role, role)


def kind_of_image(start: bytes) -> str | None:
    """Say what picture begins with these bytes, whatever it was called."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return None


def _show_part(part: Part, files: dict[str, FileInfo]) -> ShownPart:
    file = files.get(part.pointer) if part.pointer else None
    is_shown = (
        part.kind == "image" and file is not None and file.media_type in SHOWN_IMAGES and file.size <= LARGEST_IMAGE
    )
    return ShownPart(part.kind, part.text, file, is_shown)
