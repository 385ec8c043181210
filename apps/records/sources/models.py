"""Places that conversations are brought in from on a schedule. Imported by apps/records/models.py."""

import uuid

from django.db import models

from apps.locations.models import Location


class Source(models.Model):
    """A place from which conversations are brought in on a schedule, by a mapping. One worker at a time.

    `cursor`: how far it was read. What is stored is found again by its ids, so a repeat adds nothing twice.
    """

    class Every(models.TextChoices):
        HOURLY = "hourly"
        DAILY = "daily"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120, unique=True)
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="+")
    mapping = models.JSONField()  # names of tables and columns, a path template: no personal data
    every = models.CharField(max_length=8, choices=Every.choices, default=Every.DAILY)
    adds_people = models.BooleanField(default=False)  # whoever is not known here is added
    is_active = models.BooleanField(default=True)
    cursor = models.JSONField(default=dict)
    next_run_at = models.DateTimeField(null=True)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"source {self.pk}"


class SourceRun(models.Model):
    """One time that a source was read: running → done | failed. The report names rows and people; it goes after 14 days."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=24, blank=True)  # of apps.locations.reasons
    counts = models.JSONField(default=dict)
    sealed_report = models.BinaryField(null=True)  # under the site key: it is about people who may not be known here
    started_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"source run {self.pk}"


class SourceFile(models.Model):
    """A watched file that was read, by a keyed hash of its name, and as it was then."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="files", db_index=False)
    index = models.BinaryField(max_length=32)
    index_number = models.PositiveSmallIntegerField(default=1)
    stamp = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "index"], name="records_source_file_once")]

    def __str__(self) -> str:
        return f"source file {self.pk}"
