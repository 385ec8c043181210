"""What can be wrong with an account."""


class AccountsError(Exception):
    """Base of the errors of this package."""


class NotSignedIn(AccountsError):
    """Nobody is signed in: let the view ask for a sign-in first."""


class UnknownRole(AccountsError):
    """No such role in roles.py."""


class OwnRoles(AccountsError):
    """Nobody grants or takes their own roles: another administrator does."""


class LastAdministrator(AccountsError):
    """Somebody must be left who can grant roles: make another administrator first."""
