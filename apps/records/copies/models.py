"""Where copies of conversations go, which there are, and what became of each run. Imported by apps/records/models.py."""

import uuid

from django.db import models
from django.db.models import F, Q

from apps.locations.models import Location


class CopyPolicy(models.Model):
    """Where copies go, how often, in which form. `location`, of the kind "copies", is the step in every request.

    One worker at a time carries it out: lease and token as for imports. A rule for readable copies runs only while two
    people want it: proposed (by one) → active (approved by another) → stopped, and so on from the beginning.
    """

    class Form(models.TextChoices):
        SEALED = "sealed"
        JSON = "json"
        TXT = "txt"
        CSV = "csv"

    class Every(models.TextChoices):
        HOURLY = "hourly"
        DAILY = "daily"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.OneToOneField(Location, on_delete=models.PROTECT, related_name="copy_policy")
    destination = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="+")
    target = models.CharField(max_length=63)  # folder, prefix, table or collection in the destination
    form = models.CharField(max_length=8, choices=Form.choices, default=Form.SEALED)
    every = models.CharField(max_length=8, choices=Every.choices, default=Every.DAILY)
    check_days = models.PositiveSmallIntegerField(default=7)  # read again after so many days; 0: never
    is_active = models.BooleanField(default=True)
    next_copy_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True)
    bring_back_at = models.DateTimeField(null=True)  # after a restore: when what is missing here is fetched from there
    bring_back = models.JSONField(default=dict)  # and how far that is: names of copies, which are ids, and counts
    proposed_by = models.UUIDField(null=True)  # readable copies: the sign-in of who wants them,
    approved_by = models.UUIDField(null=True)  # and of who agreed
    place_mac = models.BinaryField(max_length=32, null=True)  # of the settings of the place that was proposed
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "copy policies"
        permissions = [("approve_copypolicy", "Can agree to readable copies as the second person")]
        constraints = [
            models.UniqueConstraint(fields=["destination", "target"], name="records_copy_target_once"),
            models.CheckConstraint(
                name="records_readable_copies_take_two",
                condition=Q(form="sealed")
                | Q(is_active=False)
                | (Q(proposed_by__isnull=False, approved_by__isnull=False) & ~Q(proposed_by=F("approved_by"))),
            ),
        ]

    def __str__(self) -> str:
        return f"copy policy {self.pk}"

    @property
    def is_readable(self) -> bool:
        return self.form != self.Form.SEALED

    @property
    def is_proposed(self) -> bool:
        """Say whether it waits for the second person."""
        return self.is_readable and self.proposed_by is not None and self.approved_by is None


class Copy(models.Model):
    """One copy of one conversation, written down before it is uploaded. It outlives the rows it was made of.

    `doomed_at`: to be deleted in its place; the row goes only after that. `held_until`: the place may not let go before.
    No foreign key to what it is of: that may be gone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    policy = models.ForeignKey(CopyPolicy, on_delete=models.PROTECT, related_name="copies", db_index=False)
    subject_id = models.UUIDField()
    conversation_id = models.UUIDField()
    key_id = models.UUIDField()  # of the conversation, when it was copied
    revision = models.PositiveIntegerField()
    object_name = models.CharField(max_length=200, unique=True)
    size = models.BigIntegerField(default=0)
    mac = models.BinaryField(
        max_length=32
    )  # HMAC-SHA-256 of the stored bytes; keyed: those of a readable one can be guessed
    mac_number = models.PositiveSmallIntegerField(default=1)  # of the key, see IndexKey
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True)
    doomed_at = models.DateTimeField(null=True)
    held_until = models.DateField(null=True)

    class Meta:
        verbose_name_plural = "copies"
        indexes = [
            models.Index(fields=["policy", "conversation_id"], name="records_copy_of"),
            models.Index(fields=["policy", "subject_id"], name="records_copies_of_person"),
            models.Index(fields=["conversation_id"], name="records_copies_everywhere"),
            models.Index(
                fields=["policy", "doomed_at"], name="records_copy_doomed", condition=Q(doomed_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"copy {self.pk}"


class CopyRun(models.Model):
    """One time that a policy was carried out, or its copies were read again: running → done | failed."""

    class Kind(models.TextChoices):
        COPY = "copy"
        CHECK = "check"
        RESTORE = "restore"

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    policy = models.ForeignKey(CopyPolicy, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=24, blank=True)  # of apps.locations.reasons
    counts = models.JSONField(default=dict)
    cursor = models.UUIDField(null=True)  # the last conversation or copy that is done
    started_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)  # of a restore: it has a worker of its own

    def __str__(self) -> str:
        return f"copy run {self.pk}"
