"""What can go wrong when something is sealed or opened. No message ever holds content or a key."""


class SealingError(Exception):
    """Anything that sealing refuses."""


class DecryptionError(SealingError):
    """Not what was sealed here: wrong key, wrong place, changed, cut short, or not one of our formats at all.

    One error for all of these, so that nobody learns from it which one it was. The caller cannot repair it: the value
    is damaged or was moved, and the place it came from should be looked at.
    """


class BadKey(SealingError):
    """A key that does not have 32 bytes, or a signing key that cannot be read: a fault of the caller or of a setting."""


class UnpackableValue(SealingError):
    """A value that JSON cannot hold, or nested deeper than can safely be read again."""
