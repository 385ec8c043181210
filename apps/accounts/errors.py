"""What can be wrong with an account."""


class AccountsError(Exception):
    """Base of the errors of this package."""


class NotSignedIn(AccountsError):
    """Nobody is signed in: let the view ask for a sign-in first."""
