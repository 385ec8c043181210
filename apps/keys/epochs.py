"""The epoch whose master key wraps new keys."""

from __future__ import annotations

from apps.keys.models import Epoch, Key
from apps.keys.providers import DEFAULT_PROVIDER, provider_named


def current_epoch() -> Epoch:
    """Return the newest epoch that is not retired; the first one is made on first use.

    If its master key is missing while live keys need it, using it raises MasterKeyMissing; if none does, a new epoch
    begins. Two processes that begin one at once do no harm: the newest one goes on.
    """
    epoch = Epoch.objects.filter(retired_at=None, destroyed_at=None).order_by("-created_at", "-id").first()
    if epoch and (provider_named(epoch.provider).holds(epoch.reference) or Key.objects.filter(epoch=epoch).exists()):
        return epoch
    return begin_epoch()


def begin_epoch() -> Epoch:
    """Make a master key and the epoch that names it: the master key first, so that no epoch is without one."""
    reference = provider_named(DEFAULT_PROVIDER).create()
    return Epoch.objects.create(provider=DEFAULT_PROVIDER, reference=reference)
