"""Places where personal data may be."""

import uuid

from django.db import models


class LocationQuerySet(models.QuerySet["Location"]):
    def that_ever_held_data(self) -> "LocationQuerySet":
        """Every place that was ever in use and is not recorded as emptied, switched-off ones included."""
        return self.filter(emptied_at__isnull=True).order_by("pk")


class Location(models.Model):
    """A configured place. Its settings and credentials are sealed under the site key; its name is the operator's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=24)  # a key of settings.CONNECTORS
    name = models.CharField(max_length=120, unique=True)
    country = models.CharField(max_length=80, blank=True)
    purpose = models.CharField(max_length=200, blank=True)  # why data is there, shown to people
    retention = models.CharField(max_length=200, blank=True)  # how long, shown to people
    sealed_config = models.BinaryField(null=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    emptied_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    is_reachable = models.BooleanField(null=True)
    health = models.TextField(blank=True)  # what the last check said, no credentials; apps.locations.said reads it
    horizon_days = models.PositiveIntegerField(null=True)  # until an erased copy is really gone; None: unknown
    horizon_reason = models.CharField(
        max_length=400, blank=True
    )  # why it is used although that is longer than the policy

    objects = LocationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"location {self.pk}"
