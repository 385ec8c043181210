"""Does the records database continue the log that was published? A restored one is behind it, or differs (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Iterator

from apps.audit import anchoring, notes, publishing, selectors, sequencer, tiles
from apps.audit.errors import LogDiverged
from apps.audit.quarantine import Reason


def check_log() -> str:
    """Compare the log with every checkpoint that is known; returns a Reason, or ""."""
    size = sequencer.log_size()
    try:
        for known_size, root in witnesses():
            if known_size > size:
                return Reason.LOG_BEHIND
            if tiles.tree_of(known_size).root() != root:
                return Reason.LOG_DIFFERS
    except LogDiverged:
        return Reason.LOG_DIFFERS
    return ""


def witnesses() -> Iterator[tuple[int, bytes]]:
    """Yield size and root of the newest checkpoints that are known: published beside the tiles, signed here, anchored."""
    published: notes.CheckpointText | None = publishing.published()
    if published is not None:
        yield published.size, published.root
    newest = selectors.latest_checkpoint()
    if newest is not None:
        yield newest.size, bytes(newest.root)
    anchored = anchoring.newest_anchor()
    if anchored is not None:
        yield anchored.size, anchored.root
