"""After a restore: the log put back, every erasure since the backup repeated, proven, and the site opened (DESIGN §3)."""

from apps.requests.replaying.gap import GapNotAccepted, accept_gap
from apps.requests.replaying.replay import CannotReplay, Replayed, replay_tombstones

__all__ = ["CannotReplay", "GapNotAccepted", "Replayed", "accept_gap", "replay_tombstones"]
