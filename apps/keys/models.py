"""Wrapped keys and the tombstones of destroyed ones, in a database of their own (DESIGN §2)."""

import uuid

from django.db import models


class Epoch(models.Model):
    """A master key's time of service. The master key itself lies with its provider, never in a database."""

    provider = models.CharField(max_length=16, default="file")
    reference = models.CharField(max_length=200)  # what the provider finds the master key by
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True)
    destroyed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"epoch {self.pk}"


class Key(models.Model):
    """A wrapped key, or the tombstone of one: then nothing but its id and when it was destroyed remains.

    live: wrapped under `parent` or, without one, under the master key of `epoch`. destroyed: `destroyed_at` is set
    and `wrapped`, `owner`, `parent_id`, `epoch` are empty.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=24)  # KeyKind
    owner = models.UUIDField(null=True, db_index=True)  # id of the subject, conversation, request, archive …
    parent_id = models.UUIDField(null=True, db_index=True)  # subject key of a conversation key
    epoch = models.ForeignKey(Epoch, on_delete=models.PROTECT, null=True)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="keys_live_or_tombstone",
                condition=models.Q(wrapped__isnull=False, destroyed_at__isnull=True)
                | models.Q(wrapped__isnull=True, destroyed_at__isnull=False, owner__isnull=True, parent_id__isnull=True, epoch__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"key {self.pk}"


class Installation(models.Model):
    """One row: which installation this keys database belongs to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"installation {self.pk}"
