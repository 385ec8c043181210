"""The site's policy: how long an erased copy may stay somewhere before the place is refused (DESIGN §4)."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from apps.locations.labels import horizon_words


def is_too_long(horizon_days: int | None) -> bool:
    """Say whether a place could never be erased in time. Unknown is not: it is said, and a person looks."""
    return horizon_days is not None and horizon_days > settings.ERASURE_HORIZON_DAYS


def refuses(horizon_days: int | None) -> bool:
    return settings.LOCATION_POLICY == "refuse" and is_too_long(horizon_days)


def words(horizon_days: int | None, *, reason: str = "") -> str:
    """Say how a place stands to the policy; "" when it fits."""
    if horizon_days is None:
        return _(
            "Nobody can say when an erased copy is really gone here. Ask the provider; receipts say it is unknown."
        )
    if not is_too_long(horizon_days):
        return ""
    values = {"horizon": horizon_words(horizon_days), "limit": horizon_words(settings.ERASURE_HORIZON_DAYS)}
    if reason:
        return _(
            "Erased copies stay for %(horizon)s, longer than the %(limit)s of our policy. Recorded reason: %(reason)s"
        ) % (values | {"reason": reason})
    return _("Erased copies stay for %(horizon)s, longer than the %(limit)s of our policy.") % values
