"""What the nightly comparison of the storage with the rows has found."""

import uuid

from django.db import models


class Sweep(models.Model):
    """One comparison of the storage with the rows: running → done | failed. `counts`: for each kind of finding, how many."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"  # the storage did not answer to the end

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    removes = models.BooleanField(default=False)
    takes_unknown = models.BooleanField(default=False)
    objects_seen = models.BigIntegerField(default=0)
    rows_seen = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict)
    started_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"sweep {self.pk}"
