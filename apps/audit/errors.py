"""What can go wrong in the log."""


class AuditError(Exception):
    """Base of everything the log refuses."""


class UnknownDetail(AuditError):
    """The event's allow-list has no such key, or the value is not of its type. Add the key in events.py."""


class BadHandle(AuditError):
    """`about` or an actor is not a handle made by `handles.new_handle()`."""


class EntryTooLarge(AuditError):
    """An entry has at most 65,535 bytes (C2SP tlog-tiles): name fewer ids in it."""


class OutsideTransaction(AuditError):
    """An entry is written in the transaction of the change it records: open one with atomic()."""


class InsideTransaction(AuditError):
    """What is signed must be committed: call this outside every transaction."""


class NotSigned(AuditError):
    """The entry was not signed in time. Nothing has been destroyed: try again later."""


class LogDiverged(NotSigned):
    """The database does not continue the published log (a restored database?). Nothing is signed until a person looks."""


class Quarantined(NotSigned):
    """The site was restored from a backup and stands still until `replay_tombstones` has repeated the erasures since."""


class LogBehind(LogDiverged):
    """More entries were signed than the database holds: it was restored from a backup."""


class LogDamaged(LogDiverged):
    """The log is not what was signed: something was changed, dropped, added or rolled back. Keep everything, find out why."""


class PublishingFailed(NotSigned):
    """Tiles could not be written outside the database. Nothing is signed until they can."""


class BadNote(AuditError):
    """A signed note or checkpoint is malformed, or not signed by the key given."""


class BadProof(AuditError):
    """A proof is malformed or does not hold."""


class AnchorError(AuditError):
    """A checkpoint could not be left at an anchor, or read there. `str()` holds no address or credentials."""


class AnchorUnreachable(AnchorError):
    """The anchor does not answer, or not now. It is tried again by itself."""


class AnchorRefused(AnchorError):
    """The anchor answers, and says no or something that cannot be right: a person has to look."""


class AnchorAhead(AnchorError):
    """The anchor holds a checkpoint that this log does not lead to: was the database restored? It is not covered up."""
