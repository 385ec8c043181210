"""Wrapped keys and the tombstones of destroyed ones, in a database of their own (DESIGN §2)."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.keys.kinds import KeyKind


class Epoch(models.Model):
    """A master key's time of service: current → retired → destroyed. The master key itself is never in a database."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.CharField(max_length=16)  # a name of providers.PROVIDERS
    reference = models.CharField(max_length=200)  # what the provider finds the master key by
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["provider", "reference"], name="keys_master_key_once")]

    def __str__(self) -> str:
        return f"epoch {self.pk}"


class Key(models.Model):
    """A wrapped key, or the tombstone of one: then nothing but its id and when it was destroyed remains.

    live: wrapped under the key `parent_id`, or else under the master key of `epoch`. destroyed: `destroyed_at` is set and
    everything else is empty. A key whose parent is a tombstone counts as destroyed with it. There is no way back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=24, choices=KeyKind.choices, blank=True)
    name = models.CharField(max_length=64, blank=True)  # of a key that the site has once, "" for all others
    owner = models.UUIDField(null=True, db_index=True)  # id of the subject, conversation, request, archive …
    parent_id = models.UUIDField(null=True, db_index=True)  # the subject key of a conversation key
    epoch = models.ForeignKey(Epoch, on_delete=models.PROTECT, null=True)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, null=True)
    # A key below this one was destroyed: an old copy of that one still opens under this one, until it is replaced.
    child_destroyed_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["kind", "id"], name="keys_by_kind")]
        constraints = [
            models.CheckConstraint(
                name="keys_live_or_tombstone",
                condition=Q(
                    Q(parent_id__isnull=True, epoch__isnull=False) | Q(parent_id__isnull=False, epoch__isnull=True),
                    wrapped__isnull=False,
                    destroyed_at__isnull=True,
                )
                | Q(
                    wrapped__isnull=True,
                    destroyed_at__isnull=False,
                    kind="",
                    name="",
                    owner__isnull=True,
                    parent_id__isnull=True,
                    epoch__isnull=True,
                    created_at__isnull=True,
                    child_destroyed_at__isnull=True,
                ),
            ),
            models.UniqueConstraint(fields=["kind", "name"], condition=~Q(name=""), name="keys_named_once"),
        ]

    def __str__(self) -> str:
        return f"key {self.pk}"


class Installation(models.Model):
    """One row: which installation this keys database belongs to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    only = models.BooleanField(default=True, unique=True)  # a second row cannot be
    created_at = models.DateTimeField(default=timezone.now)
    restored_at = models.DateTimeField(null=True)  # the last time that a backup of keys was read in

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="keys_one_installation", condition=Q(only=True))]

    def __str__(self) -> str:
        return f"installation {self.pk}"
