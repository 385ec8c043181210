"""What places are called: our own in the reader's language, others as the operator named them; and how they are."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop, ngettext

from apps.locations.models import Location

OWN_LABELS = {
    "records": gettext_noop("Conversations"),
    "archives": gettext_noop("Your downloads"),
    "account": gettext_noop("Account and requests"),
}
STAFF_LABELS = OWN_LABELS | {"archives": gettext_noop("Archives for download")}


def label(location: Location) -> str:
    """Return the name of a place in the active language, as its people read it."""
    return gettext(OWN_LABELS[location.kind]) if location.kind in OWN_LABELS else location.name


def staff_label(location: Location) -> str:
    """Return the same for staff, to whom the downloads do not belong."""
    return gettext(STAFF_LABELS[location.kind]) if location.kind in STAFF_LABELS else location.name


def country_words(kind: str, country: str) -> str:
    """Say where a place is; of one that is not our own, and of which nobody said it, nothing."""
    return country or (gettext("This site") if kind in OWN_LABELS else "")


def state_of(location: Location) -> tuple[str, str]:
    """Return how a place is, in words, and the tone of its badge: "", "ok" or "warn"."""
    if location.emptied_at is not None:
        return gettext("Holds nothing any more"), ""
    if not location.is_enabled:
        return gettext("Switched off"), "warn"
    if location.is_reachable is None:
        return gettext("Not checked"), ""
    return (gettext("Reachable"), "ok") if location.is_reachable else (gettext("Does not answer"), "warn")


def horizon_words(days: int | None) -> str:
    """Say after how long an erased copy is really gone."""
    if days is None:
        return gettext("unknown")
    return ngettext("%(days)s day", "%(days)s days", days) % {"days": days} if days else gettext("at once")
