"""The epoch whose master key wraps new keys."""

from __future__ import annotations

from django.conf import settings
from django.db import connections

from apps.keys.models import Epoch, Key
from apps.keys.providers import provider_named


def current_epoch() -> Epoch:
    """Return the newest epoch that is not retired; the first one is made on first use.

    If its master key is missing while live keys need it, using it raises MasterKeyMissing; if none does, a new epoch
    begins. Two processes that begin one at once do no harm: the newest one goes on.
    """
    epoch = Epoch.objects.filter(retired_at=None, destroyed_at=None).order_by("-created_at", "-id").first()
    if epoch and (Key.objects.filter(epoch=epoch).exists() or provider_named(epoch.provider).holds(epoch.reference)):
        return epoch
    return begin_epoch()


def is_in_service(epoch: Epoch) -> bool:
    """Say, inside a transaction of the keys, whether keys may be wrapped under it; that stays so until the commit.

    A roll retires an epoch by an update, which waits for this lock: from then on nothing is ever added to the epoch.
    Creators share the lock, so they do not wait for each other.
    """
    connection = connections["keys"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM keys_epoch WHERE id = %s FOR SHARE", [epoch.pk])
    return Epoch.objects.filter(pk=epoch.pk, retired_at=None, destroyed_at=None).exists()


def begin_epoch() -> Epoch:
    """Make a master key and the epoch that names it: the master key first, so that no epoch is without one."""
    name = settings.MASTER_KEY_PROVIDER
    return Epoch.objects.create(provider=name, reference=provider_named(name).create())
