"""What can go wrong while a file is read."""


class ImporterError(Exception):
    """Base of this package's errors."""


class UnreadableFile(ImporterError):
    """The file as a whole cannot be read; `str()` says why and what to do, in words for the person who uploaded it."""

    @property
    def why(self) -> str:
        return str(self)


class BadConversation(ImporterError):
    """One conversation cannot be read; the others can. `str()` says why. Readers turn it into a `Skipped`."""
