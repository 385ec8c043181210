"""Azure's errors as those of a place, without its words: they can hold keys and names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.said import said as _


class UnknownParameter(Exception):
    """The store does not know what was asked to be listed: then it has none of it."""


@contextmanager
def foreign_errors(*, unknown: bool = False) -> Iterator[None]:
    """Turn the provider's errors into ours, without its words; `unknown`: a parameter nobody knows is UnknownParameter."""
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except LocationError:
        raise
    except HttpResponseError as error:
        status = int(error.status_code or 0)
        if unknown and status in (400, 501):
            raise UnknownParameter from None
        if not status or status >= 500 or status in (408, 409, 412, 429):
            raise Unavailable(
                _("The container cannot answer just now (%(code)s).") % {"code": status or "no answer"}
            ) from None
        raise Refused(
            _("The container refuses us (%(code)s): check its name, the key and the permissions.") % {"code": status}
        ) from None
    except AzureError as error:
        if type(error).__name__ == "AzureSigningError":
            raise Refused(_("The account's key is not valid.")) from None
        raise Unavailable(_("The container does not answer.")) from None
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):  # the SDK stumbles over the answer
        raise Refused(_("The settings of the container are not valid, or what answers is none.")) from None
