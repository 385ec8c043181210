"""What can go wrong with an archive. Trouble with storage is raised as apps.locations.errors."""


class ArchiveError(Exception):
    """Base. `str()` holds no content."""


class StaleBatch(ArchiveError):
    """Somebody else has written or finished what this batch was about: drop it, the claim is lost."""


class BadEntry(ArchiveError):
    """An entry has a name that may not stand in an archive, or one that is taken. A fault of the connector."""


class Unfinished(ArchiveError):
    """A file is still open and no place is named as missing: the archive would be incomplete without saying so."""


class ArchiveGone(ArchiveError):
    """The archive is not there to be read: not ready, expired, or its key has been destroyed."""


class DamagedArchive(ArchiveError):
    """A segment is missing or does not open. Alarm: a stored object was changed or lost."""
