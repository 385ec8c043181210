"""What can go wrong with keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID


class KeysError(Exception):
    """Base of everything that the keys refuse."""


class InQuarantine(KeysError):
    """The site was restored from a backup: no key opens until the erasures since then are repeated."""


class KeyDestroyed(KeysError):
    """The key, or the one above it, is a tombstone: what it sealed is gone, rightly and for good."""

    def __init__(self, key_id: UUID, destroyed_at: datetime) -> None:
        super().__init__(f"key {key_id} was destroyed at {destroyed_at:%Y-%m-%d %H:%M:%S} UTC")
        self.key_id = key_id
        self.destroyed_at = destroyed_at


class KeyStoreDamaged(KeysError):
    """A key that must be there is neither live nor a tombstone, or does not open. Stop, and call a person.

    Never take it for a destroyed key: what it sealed may still be owed to somebody.
    """


KeyNotFound = KeyStoreDamaged


class MasterKeyMissing(KeyStoreDamaged):
    """The provider does not have the master key of an epoch. The message says how to put it back."""


class MasterKeyUnreachable(KeysError):
    """The provider of a master key does not answer. Nothing is lost, and nothing was written unsealed: try again."""


class NotReplaceable(KeysError):
    """A key cannot be replaced now: an erasure of its owner has begun, or its kind has no mover. Nothing has changed."""


class NothingProposed(KeysError):
    """A master key that was named cannot be proposed for destruction: look at the page again."""


class ProposalClosed(KeysError):
    """A proposal is decided, withdrawn or carried out already: look at the page again."""


class ProposerLeft(KeysError):
    """Whoever proposed something may not decide any more: it is withdrawn. Propose it anew, if it is still wanted."""


class SecondPersonWanted(KeysError):
    """Whoever proposed something cannot approve it: another person must."""


class NoKeysNamed(KeysError):
    """A destruction names no key: "every one of them is destroyed" would be true of nothing."""


class IntentNotSigned(KeysError):
    """The intent is not signed, is cancelled, or does not name every key. Nothing has been destroyed."""


class AlreadyDestroyed(KeysError):
    """An intent cannot be cancelled any more: a key that it names is a tombstone."""


class SweepChanged(KeysError):
    """Other keys are without an owner by now than a person was shown: nothing was destroyed. Look again."""


class JournalNotTruncated(KeysError):
    """The keys are tombstones, but SQLite's journal still holds their old bytes because others are reading. Repeat."""


class BadBackup(KeysError):
    """The file is not a backup of keys, or is damaged, or does not open under the master keys that are here."""


class ForeignInstallation(KeysError):
    """The backup belongs to another installation than this database. Nothing has been restored."""
