"""What can go wrong with a place."""

from collections.abc import Mapping
from datetime import date

from django.utils import translation

from apps.locations.reasons import Reason
from apps.locations.said import said


class LocationError(Exception):
    """Base. `said` is in plain words and holds no credentials, names or content; what a page may show is marked (said.py)."""

    @property
    def said(self) -> str:
        return self.args[0] if self.args else ""


class Unavailable(LocationError):
    """The place does not answer, or not now. The step waits and tries again by itself.

    `retry_after`: for how many seconds the place asked to be left alone, where it said so.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(LocationError):
    """The place answers and says no (credentials, permissions, misconfiguration). A person is needed."""


class NoIdentity(Refused):
    """The place knows people by something that is not known of this person. Staff add it, or look there by hand."""


class Blocked(LocationError):
    """The place may not let go yet (lock, hold, retention). `until` is a date or None.

    `held`: what stays of several names that were to go, each with the first day on which it may; the others are gone.
    """

    def __init__(self, reason: str, until: object = None, held: Mapping[str, date | None] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.until = until
        self.held = held or {}

    @property
    def said(self) -> str:
        with translation.override(None):  # the English text of the label
            text = str(Reason(self.reason).label) if self.reason in Reason.values else self.reason
        return said(text)


class HorizonTooLong(LocationError):
    """Erased copies stay longer there than the site's policy allows, and nobody has recorded why it is used anyway."""


class StorageFull(LocationError):
    """Nothing more can be written. The step fails with this reason; the next try may succeed."""
