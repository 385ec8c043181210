"""After a restore: the log put back, every erasure since the backup repeated, proven, and the site opened (DESIGN §3)."""

from apps.requests.replaying.replay import CannotReplay, Replayed, replay_tombstones

__all__ = ["CannotReplay", "Replayed", "replay_tombstones"]
