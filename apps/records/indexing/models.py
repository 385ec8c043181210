"""The keys of blind indexes, as the records know them: by number. Their bytes are in the keys database."""

from django.db import models
from django.db.models import Q


class IndexKey(models.Model):
    """A key of a blind index: current → retired, while rows are found by it → ended; the row goes with its key.

    A row that is found by an index value carries the number of the key that made it; 0: it stands for no value.
    """

    name = models.CharField(max_length=40)  # of the index: "conversation", "identity-email" …
    number = models.PositiveSmallIntegerField()
    key_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True)  # from here on nothing is written under it
    ended_at = models.DateTimeField(null=True)  # from here on nothing is looked for under it

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["name", "number"], name="records_index_key_once"),
            models.UniqueConstraint(
                fields=["name"], name="records_index_key_current", condition=Q(retired_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"index key {self.pk}"
