"""The privacy request and its steps. The table of steps is the truth; Celery only carries pokes (DESIGN §5)."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.locations.models import Location


class Kind(models.TextChoices):
    ACCESS = "access"
    PORTABILITY = "portability"
    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"


COPIES = (Kind.ACCESS, Kind.PORTABILITY)
CHANGES = (Kind.RECTIFICATION, Kind.RESTRICTION)  # they change what places hold, and end with a receipt


class Status(models.TextChoices):
    RECEIVED = "received"
    VERIFYING = "verifying"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    COOLING_OFF = "cooling_off"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTLY_COMPLETED = "partly_completed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


ENDED = (Status.COMPLETED, Status.REFUSED, Status.WITHDRAWN, Status.LAPSED)


class PrivacyRequest(models.Model):
    """One request of one person.

    (received →) verifying → in_review → approved → (cooling_off) → running → completed | partly_completed → completed
    verifying, in_review → refused | lapsed. Anything that has not ended → withdrawn, an erasure only until its intent to
    destroy the keys is in the log, a rectification or restriction until its work begins. A restriction that is complete
    → partly_completed while it is lifted → completed. Each change is a compare-and-set with its audit entry.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(max_length=16, unique=True)  # HB-XXXX-XXXX
    handle = models.CharField(max_length=32, unique=True)  # what the log calls it
    code_hash = models.BinaryField(max_length=32)  # SHA-256 of the receipt code (≥ 128 bit, random)
    key_id = models.UUIDField(null=True)  # request key; None once its retention is over and it is destroyed
    subject_id = models.UUIDField(
        null=True, db_index=True
    )  # no foreign key: outlives the subject's row, emptied at erasure
    email_index = models.BinaryField(max_length=32, null=True)  # for staff's exact search; emptied at erasure
    email_index_number = models.PositiveSmallIntegerField(default=1)  # of its key, see records.IndexKey
    kind = models.CharField(max_length=16, choices=Kind.choices)
    regime = models.CharField(max_length=16)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.RECEIVED)
    identity_level = models.CharField(max_length=20, default="none")  # none, reasonable, reasonably_high
    language = models.CharField(max_length=16, default="en")
    time_zone = models.CharField(max_length=64, default="UTC")
    ground = models.CharField(max_length=32, blank=True)  # of a refusal (regimes.py)
    sealed = models.BinaryField(null=True)  # contact, scope, note; later identities, manifest: under the request key
    received_at = models.DateTimeField()
    due_on = models.DateField(db_index=True)  # the earliest clock
    cooling_off_until = models.DateTimeField(null=True)
    waives_archive_first = models.BooleanField(default=False)  # erase without waiting for an open access request
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField(null=True)  # the person was asked whether the erasure may go on without their copy
    alerted_at = models.DateTimeField(
        null=True
    )  # staff were told that a place does not answer and the deadline is near
    is_destroyed = models.BooleanField(default=False)  # the keys are gone: every later step only goes forward
    unreadable_at = models.DateTimeField(null=True)  # T0
    lift_on = models.DateField(null=True)  # a restriction: the day of its end that the person was told (Article 18(3))
    lifted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    retain_until = models.DateField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["status", "due_on", "id"]),
            models.Index(fields=["due_on", "id"]),
            models.Index(fields=["-received_at", "id"]),
            models.Index(fields=["kind", "due_on", "id"]),
            models.Index(fields=["email_index"]),
            models.Index(fields=["due_on", "id"], name="requests_unfinished", condition=Q(ended_at__isnull=True)),
        ]
        permissions = [
            ("review_privacyrequest", "Can review requests"),
            ("approve_erasure_second", "Can approve an erasure as the second person"),
            ("deliver_archive", "Can fetch an archive for delivery by other means"),
        ]

    def __str__(self) -> str:
        return f"request {self.reference}"

    @property
    def unreadable_from(self) -> datetime | None:
        """T0 as it is told to people: rounded up to the minute, as pages and letters show minutes; None before."""
        if self.unreadable_at is None:
            return None
        return (self.unreadable_at + timedelta(minutes=1, microseconds=-1)).replace(second=0, microsecond=0)


class Clock(models.Model):
    """A legal deadline of a request, with the rule it comes from (regimes.py)."""

    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="clocks")
    regime = models.CharField(max_length=16)
    duty = models.CharField(max_length=16)  # acknowledge, respond
    due_on = models.DateField()
    extended_on = models.DateField(null=True)  # when the extension was notified
    met_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "regime", "duty"], name="requests_clock_once")]

    def __str__(self) -> str:
        return f"clock {self.pk}"


class Approval(models.Model):
    """One officer's yes. A second one, where wanted, is by another person."""

    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="approvals")
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    rule = models.CharField(max_length=24)  # "person", "standing_policy", "command_line"
    given_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "officer"], name="requests_approve_once")]

    def __str__(self) -> str:
        return f"approval {self.pk}"


class Step(models.Model):
    """One piece of work of a request.

    pending → running → done | blocked (until next_try_at) | needs_person; a blocked one becomes pending again by itself.
    Claimed by compare-and-set: `token` fences out a worker whose lease has run out.
    """

    class Phase(models.TextChoices):
        COLLECT = "collect"  # access: one location's entries
        FINISH = "finish"  # access: index, manifest, publish
        PREPARE = "prepare"  # erasure: freeze, copy what later steps need
        DESTROY = "destroy"  # erasure: the keys
        PURGE = "purge"  # erasure: one location
        VERIFY = "verify"  # erasure: second look, receipt
        CORRECT = "correct"  # rectification: one location
        RESTRICT = "restrict"  # restriction: one location
        LIFT = "lift"  # restriction: its end in one location
        RECEIPT = "receipt"  # rectification, restriction: receipt

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        DONE = "done"
        BLOCKED = "blocked"
        NEEDS_PERSON = "needs_person"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="steps")
    phase = models.CharField(max_length=8, choices=Phase.choices)
    location = models.ForeignKey(Location, on_delete=models.PROTECT, null=True, related_name="steps")
    order = models.PositiveSmallIntegerField(
        default=0
    )  # steps of one order run side by side, after all of the lower ones
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)  # claims since the last committed cursor
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    sealed_cursor = models.BinaryField(null=True)  # opaque to the engine; may name a path, so under the request key
    worker = models.CharField(max_length=120, blank=True)  # the process that holds the lease (workers.py)
    intent_entry = models.BigIntegerField(null=True)  # the entry that announced what cannot be undone
    found = models.PositiveIntegerField(null=True)
    done_count = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)  # what was done, by kind: {"conversations": 213, "messages": 9251}
    remaining = models.PositiveIntegerField(null=True)  # the second look
    sealed_kept = models.BinaryField(null=True)  # what stays by the place's settings, and why: under the request key
    reason = models.CharField(max_length=48, blank=True)  # closed list: reasons.py
    until = models.DateField(null=True)  # until when the place may not let go
    next_try_at = models.DateTimeField(null=True)
    blocked_since = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "phase", "location"], name="requests_step_once"),
            models.UniqueConstraint(
                fields=["request", "phase"], name="requests_own_step_once", condition=models.Q(location__isnull=True)
            ),
        ]
        indexes = [models.Index(fields=["state", "next_try_at"]), models.Index(fields=["state", "lease_until"])]

    def __str__(self) -> str:
        return f"step {self.pk}"

    @property
    def awaits_second_look(self) -> bool:
        """Whether a place was gone through and not looked at again: until then nobody knows whether something was kept."""
        task: Task | None = getattr(self, "task", None)
        is_confirmed = task is not None and task.confirmed_at is not None
        is_purged = self.phase == self.Phase.PURGE and self.state == self.State.DONE
        return is_purged and self.remaining is None and not is_confirmed


class Message(models.Model):
    """What the person and the staff write to each other about a request; sealed under the request key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="messages")
    is_from_person = models.BooleanField()
    sealed = models.BinaryField()
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["request", "sent_at"])]

    def __str__(self) -> str:
        return f"message {self.pk}"


class Evidence(models.Model):
    """A document that a person sent to show who they are; its key dies with the decision."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="evidence")
    key_id = models.UUIDField()
    object_name = models.CharField(max_length=200, unique=True)
    sealed = models.BinaryField()  # file name, media type
    size = models.BigIntegerField(default=0)
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    destroyed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"evidence {self.pk}"


class Receipt(models.Model):
    """What the person gets at the end: the body whose SHA-256 the log holds. Usable once its entry is signed."""

    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="receipts")
    number = models.PositiveSmallIntegerField(default=1)
    is_final = models.BooleanField(default=True)  # False: a place is still blocked, another receipt follows
    sealed_body = models.BinaryField()  # canonical JSON, under the request key
    body_sha256 = models.BinaryField(max_length=32)
    entry_id = models.BigIntegerField()
    irrecoverable_by = models.DateField(null=True)  # T1 as this receipt says it
    irrecoverable_code = models.CharField(max_length=24, blank=True)  # why it gives none (moments.REASONS)
    compared_at = models.DateTimeField(null=True)  # with what T1 has become since
    is_settled = models.BooleanField(default=False)  # T1 is over and nothing is left that could open it
    issued_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "number"], name="requests_receipt_once")]

    def __str__(self) -> str:
        return f"receipt {self.pk}"


class Intake(models.Model):
    """A request filed without an account, before anybody looked whether the person is known. Matched in the worker."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key_id = models.UUIDField()  # becomes the request key
    handle = models.CharField(max_length=32, unique=True)
    sealed = models.BinaryField()  # e-mail, name, data points, scope, note: under the request key
    kind = models.CharField(max_length=16, choices=Kind.choices)
    regime = models.CharField(max_length=16)
    language = models.CharField(max_length=16, default="en")
    time_zone = models.CharField(max_length=64, default="UTC")
    reference = models.CharField(max_length=16, unique=True)
    code_hash = models.BinaryField(max_length=32)
    link_hash = models.BinaryField(max_length=32, null=True, unique=True)  # single use; GET shows, POST consumes
    link_expires_at = models.DateTimeField(null=True)  # set when the worker has written the letter
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"intake {self.reference}"


class Task(models.Model):
    """What a person has to do in a place that nothing can be connected to, until when, and what they confirmed.

    open → confirmed (→ open again when the day has come until which something had to stay).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(PrivacyRequest, on_delete=models.CASCADE, related_name="tasks")
    step = models.OneToOneField(Step, on_delete=models.CASCADE, related_name="task")
    due_on = models.DateField(db_index=True)
    sealed = models.BinaryField()  # who does it, what was noted: under the request key
    item_count = models.PositiveIntegerField(default=0)  # how many items they say they dealt with
    stays_until = models.DateField(null=True)  # something had to stay, until this day
    reminded_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True)
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return f"task {self.pk}"


class TaskFile(models.Model):
    """A file of a task: for the person's copy, or proof of what was done. Sealed under the request key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="files")
    is_proof = models.BooleanField(default=False)
    object_name = models.CharField(max_length=200, unique=True)
    sealed = models.BinaryField()  # file name, media type
    size = models.BigIntegerField(default=0)
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"file {self.pk} of a task"
