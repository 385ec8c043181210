"""What can be wrong with a letter."""


class MailError(Exception):
    """Base of the errors of this package."""


class UnreadableLetter(MailError):
    """The letter cannot be opened again (its key is destroyed, or its bytes are damaged): it is given up."""


class Refused(MailError):
    """The recipient was refused for good, by the mail server or as no address: trying again would not help."""


class Undeliverable(MailError):
    """The mail server could not be reached or asks to come back later: try again."""
