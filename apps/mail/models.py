"""The sealed outbox. A letter is written with the change that causes it and sent at least once."""

import uuid

from django.db import models


class Letter(models.Model):
    """pending → sent | failed. `owner` is the user, subject or request it belongs to, for erasure.

    Whoever sends a letter first moves `next_try_at` on by a lease, by compare-and-set on `attempts`.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template = models.CharField(max_length=64)
    owner = models.UUIDField(null=True, db_index=True)
    key_id = models.UUIDField(null=True)  # the request key; without one the site's letter key
    sealed = models.BinaryField(null=True)  # address, subject line, text, HTML; emptied when sent or given up
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "next_try_at"])]
        constraints = [
            models.CheckConstraint(
                name="mail_pending_has_content", condition=models.Q(sealed__isnull=False) | ~models.Q(state="pending")
            ),
            models.CheckConstraint(
                name="mail_ended_is_empty", condition=models.Q(sealed__isnull=True) | models.Q(state="pending")
            ),
        ]

    def __str__(self) -> str:
        return f"letter {self.pk}"
