"""What places are called on people's pages: our own in the person's language, others as the operator named them."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _noop

from apps.locations.models import Location

OWN_LABELS = {
    "records": _noop("Conversations"),
    "archives": _noop("Your downloads"),
    "account": _noop("Account and requests"),
}


def label(location: Location) -> str:
    """Return the name of a place in the active language."""
    return gettext(OWN_LABELS[location.kind]) if location.kind in OWN_LABELS else location.name
