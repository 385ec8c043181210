"""Data subjects and what is held about them. Everything a person wrote or is called is sealed."""

import uuid

from django.conf import settings
from django.db import models


class Subject(models.Model):
    """A data subject. `frozen_at`: an erasure has begun, and no content is written any more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="subject")
    handle = models.CharField(max_length=32, unique=True)  # what the log calls this person
    key_id = models.UUIDField()
    is_recording_allowed = models.BooleanField(default=True)  # consent to keeping new conversations
    retention_days = models.PositiveIntegerField(null=True)  # own choice; None: the organisation's
    opted_out_of_training = models.BooleanField(default=False)
    opted_out_of_sharing = models.BooleanField(default=False)
    restricted_at = models.DateTimeField(null=True)
    frozen_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"subject {self.pk}"


class Identity(models.Model):
    """Something a person is known by in some place: e-mail, user id, phone. Sealed, and findable by blind index."""

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="identities")
    kind = models.CharField(max_length=24)  # "email", "user_id", "phone", "name" …
    index = models.BinaryField(max_length=32)  # blind index, HMAC-SHA-256 with this kind's key
    sealed = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "index"], name="records_identity_once")]

    def __str__(self) -> str:
        return f"identity {self.pk}"


class Conversation(models.Model):
    """One conversation, with a key of its own below its subject's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="conversations")
    key_id = models.UUIDField()
    source = models.CharField(max_length=24)  # format it came in
    external_index = models.BinaryField(max_length=32)  # blind index of (subject, source, id): importing twice adds nothing
    sealed = models.BinaryField()  # title and the header of the conversation as imported
    started_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()
    message_count = models.PositiveIntegerField(default=0)
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "external_index"], name="records_conversation_once")]
        indexes = [models.Index(fields=["subject", "-updated_at", "id"])]

    def __str__(self) -> str:
        return f"conversation {self.pk}"


class Message(models.Model):
    """One node of a conversation's tree, in the shape of a ChatGPT export's node; position = order of import."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    sealed = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "position"], name="records_position_once")]

    def __str__(self) -> str:
        return f"message {self.pk}"


class Attachment(models.Model):
    """A file of a conversation: sealed in chunks under the conversation key, in storage under a random name.

    Written down before it is uploaded (`stored` false), so that a crash leaves no unknown object.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="attachments")
    object_name = models.CharField(max_length=200, unique=True)
    sealed = models.BinaryField()  # file name, media type, the pointer that messages use, SHA-256
    size = models.BigIntegerField(default=0)
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"attachment {self.pk}"


class Import(models.Model):
    """An upload on its way in: waiting → running → done | failed. The uploaded file is sealed until it has been read."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="imports")
    key_id = models.UUIDField()
    object_name = models.CharField(max_length=200, unique=True)
    size = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    format = models.CharField(max_length=24, blank=True)
    conversations = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0)
    attachments = models.PositiveIntegerField(default=0)
    already_held = models.PositiveIntegerField(default=0)
    sealed_report = models.BinaryField(null=True)  # what was skipped, and why
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["subject", "-created_at"])]

    def __str__(self) -> str:
        return f"import {self.pk}"


class LegalHold(models.Model):
    """A conversation (or, without one, everything of a subject) that must be kept, and until when."""

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="holds")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, null=True, related_name="holds")
    basis = models.CharField(max_length=64)  # the article
    until = models.DateField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"hold {self.pk}"
