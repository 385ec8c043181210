"""The two moments of an erasure: T0, from which on nobody can open anything, and T1, by which nothing could be undone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of as details_of_entry
from apps.keys.horizons import CANNOT_BE_PROVEN, GONE, NEVER_ROLLED, TWO_OFFICERS, key_horizon
from apps.locations.horizons import PLACE_OPEN, PLACE_UNKNOWN, Horizon, Wait, erasure_horizon
from apps.locations.models import Location
from apps.requests.models import PrivacyRequest, Step
from apps.requests.vault import details_of

# Why there is no day for T1. In English they stand on receipts.
REASONS: dict[str, str | Promise] = {
    CANNOT_BE_PROVEN: gettext_lazy(
        "No date can be proven: the master keys of this site are files, and a deleted file may survive on a disk, in a "
        "journal or a snapshot. With it and old copies of both databases the data could still be opened. They are kept "
        "apart, and for a short time only."
    ),
    TWO_OFFICERS: gettext_lazy(
        "Once two officers approve: until the master key of that time is destroyed, it could still open old copies of "
        "both databases, and each destruction is approved by two people."
    ),
    NEVER_ROLLED: gettext_lazy(
        "No date can be given: the master key of this site is not replaced on a schedule. With it and old copies of both "
        "databases the data could still be opened."
    ),
    PLACE_OPEN: gettext_lazy("No date yet: a place still holds something. The final receipt gives the date."),
    PLACE_UNKNOWN: gettext_lazy("No date for all of it: a place does not say for how long erased copies stay there."),
}


def irrecoverable(request: PrivacyRequest, details: dict[str, Any], steps: Iterable[Step]) -> Horizon:
    """Return T1 of an erasure as it stands now. `details`: what the request holds under its key."""
    destroyed_at = None
    if request.unreadable_at is not None:
        destroyed_at = request.unreadable_at - timedelta(seconds=settings.STEP_BATCH_SECONDS)
    above = UUID(details["key"]) if details.get("key") else None
    ended = [
        (step.location, step.ended_at if step.state == Step.State.DONE else None)
        for step in steps
        if step.location is not None
    ]
    return erasure_horizon(key_horizon(destroyed_at, above=above), ended)


def horizon_of(request: PrivacyRequest) -> Horizon:
    """Return the same for a request as it lies there; raises RecordErased."""
    steps = request.steps.select_related("location").order_by("order", "pk")
    return irrecoverable(request, details_of(request), steps)


def if_erased_now() -> Horizon:
    """Return what T1 would be if somebody had everything erased this very moment."""
    now = timezone.now()
    return erasure_horizon(key_horizon(), [(place, now) for place in Location.objects.that_ever_held_data()])


def reason_words(reason: str) -> str:
    """Say why there is no day; "" where there is one."""
    return str(REASONS.get(reason, ""))


def horizon_words(horizon: Horizon) -> str:
    """Say T1 in one sentence."""
    if horizon.by is None:
        return reason_words(horizon.reason)
    return _("Irrecoverable by %(day)s, for anybody with any old copy.") % {"day": date_format(horizon.by)}


def waits_as_json(waits: Iterable[Wait]) -> list[dict[str, Any]]:
    """Return the parts of T1 as a receipt holds them."""
    return [
        {
            "what": wait.what,
            "place": wait.place or None,
            "until": wait.until.isoformat() if wait.until else None,
            "reason": wait.reason or None,
        }
        for wait in waits
    ]


def end_of_master_keys(request: PrivacyRequest, horizon: Horizon) -> Entry | None:
    """Return the log's entry of the destruction that ended the last master key; None while one is still there."""
    if request.unreadable_at is None or not horizon.key_parts or horizon.key_parts[-1].code != GONE:
        return None
    last = horizon.key_parts[-1].until.isoformat()
    entries = Entry.objects.filter(event=Event.MASTER_KEYS_DESTROYED, created_at__gte=request.unreadable_at)
    gone = [entry for entry in entries.order_by("-id") if str(details_of_entry(entry).get("gone_by", "")) <= last]
    return gone[0] if gone else None
