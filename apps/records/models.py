"""Data subjects and what is held about them. Everything a person wrote or is called is sealed."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.records.copies.models import Copy as Copy
from apps.records.copies.models import CopyPolicy as CopyPolicy
from apps.records.copies.models import CopyRun as CopyRun
from apps.records.indexing.models import IndexKey as IndexKey
from apps.records.sources.models import Source as Source
from apps.records.sources.models import SourceFile as SourceFile
from apps.records.sources.models import SourceRun as SourceRun
from apps.records.sweeping.models import Sweep as Sweep


class Subject(models.Model):
    """A data subject. `frozen_at`: an erasure has begun, and no content is written any more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="subject"
    )
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

    UNIQUE_KINDS: ClassVar[list[str]] = ["email", "user_id"]  # two people can share a name or a telephone

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="identities")
    kind = models.CharField(max_length=24)  # "email", "user_id", "phone", "name" …
    index = models.BinaryField(max_length=32)  # blind index, HMAC-SHA-256 with this kind's key
    index_number = models.PositiveSmallIntegerField(default=1)  # of that key, see IndexKey
    sealed = models.BinaryField()  # under the subject key

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["subject", "kind", "index"], name="records_identity_once"),
            models.UniqueConstraint(
                fields=["kind", "index"], name="records_identity_of_one", condition=Q(kind__in=["email", "user_id"])
            ),
        ]

    def __str__(self) -> str:
        return f"identity {self.pk}"


class Suppressed(models.Model):
    """Somebody who was erased, as a blind index under a key of its own, until a day: not brought in again by others."""

    index = models.BinaryField(max_length=32, primary_key=True)
    index_number = models.PositiveSmallIntegerField(default=1)
    until = models.DateField(db_index=True)

    class Meta:
        verbose_name_plural = "suppressed"
        default_permissions = ()

    def __str__(self) -> str:
        return "suppressed"


class Conversation(models.Model):
    """One conversation, with a key of its own below its subject's.

    `erasing_at`: its erasure has begun; it is shown no more, and what is left of it is on its way out. A copy that is
    being made under a new key carries it too, until it takes the place of the other (see Rewrite).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="conversations", db_index=False)
    key_id = models.UUIDField()
    source = models.CharField(max_length=24)  # format it came in
    external_index = models.BinaryField(max_length=32)  # blind index of (subject, id): importing twice adds nothing
    index_number = models.PositiveSmallIntegerField(default=1)
    sealed = models.BinaryField()  # title, header as imported, position of the current node
    started_at = models.DateTimeField()  # as the file says, else when it came; does not change any more
    updated_at = models.DateTimeField()
    message_count = models.PositiveIntegerField(default=0)
    node_count = models.PositiveIntegerField(default=0)  # rows: positions are 0 … node_count - 1
    stored_bytes = models.BigIntegerField(default=0)  # about, sealed: how many are opened together depends on it
    revision = models.PositiveIntegerField(default=0)  # counts what changes it: a copy of an earlier one is out of date
    imported_at = models.DateTimeField(auto_now_add=True)
    erasing_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "external_index"], name="records_conversation_once")]
        indexes = [
            models.Index(fields=["subject", "-updated_at", "id"], name="records_newest_first"),
            models.Index(fields=["subject", "started_at", "id"], name="records_oldest_first"),
            models.Index(fields=["updated_at"], name="records_retention"),
            models.Index(fields=["erasing_at"], name="records_erasing", condition=Q(erasing_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"conversation {self.pk}"


class Message(models.Model):
    """One node of a conversation's tree, in the shape of a ChatGPT export's node; position = order of import.

    `parent` is the position of the node above. The shape of the tree stands in the clear, so that one path through a
    long conversation can be read without opening all of it. No surrogate key: one index less on the hot table.
    """

    pk = models.CompositePrimaryKey("conversation_id", "position")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    position = models.PositiveIntegerField()
    parent = models.PositiveIntegerField(null=True)
    is_message = models.BooleanField(default=True)  # False: a node without a message, that only holds the tree together
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return f"message {self.position} of conversation {self.conversation_id}"


class Attachment(models.Model):
    """A file of a conversation: sealed in chunks under the conversation key, in storage under a random name.

    Written down before it is uploaded (`stored` false), so that a crash leaves no unknown object.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="attachments")
    object_name = models.CharField(max_length=200, unique=True)
    sealed = models.BinaryField()  # file name, media type, the pointer that messages use
    size = models.BigIntegerField(default=0)  # plain bytes
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="records_unfinished", condition=Q(stored=False))]

    def __str__(self) -> str:
        return f"attachment {self.pk}"


class Import(models.Model):
    """An upload on its way in: waiting → running → done | failed; running → running when its worker was lost.

    The uploaded file is sealed under a key of its own, which is destroyed when the file has been read. `done_items`
    says how far it was read: what was stored and how far it went are committed together.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="imports", db_index=False)
    key_id = models.UUIDField(null=True)  # None once it is destroyed
    object_name = models.CharField(max_length=200, unique=True)
    size = models.BigIntegerField(default=0)  # plain bytes
    stored = models.BooleanField(default=False)
    sealed = models.BinaryField()  # file name and the format asked for, under the subject key
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=24, blank=True)  # why it failed: IMPORT_FAILURES of the log's events
    format = models.CharField(max_length=24, blank=True)
    conversations = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0)
    attachments = models.PositiveIntegerField(default=0)
    already_held = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    done_items = models.PositiveIntegerField(default=0)
    total_items = models.PositiveIntegerField(null=True)  # about how many there are, once that is known
    sealed_report = models.BinaryField(null=True)  # what was skipped, and why: under the subject key
    attempts = models.PositiveSmallIntegerField(default=0)  # claims since something was last committed
    token = models.UUIDField(null=True)  # of the claim: fences out a worker whose lease has run out
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["subject", "-created_at"], name="records_imports_newest"),
            models.Index(
                fields=["lease_until"], name="records_imports_open", condition=Q(state__in=["waiting", "running"])
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"


class Rewrite(models.Model):
    """A conversation that is written anew under another key, because a part of it goes or is corrected (DESIGN §2).

    copying → swapped (`intent`: the new conversation stands in the place of the old one, whose key is named in a signed
    entry) → gone, when that key is destroyed and the old rows are deleted. Two conversations, so that a reader sees the
    one or the other and never a mixture. `old` and `new` are no foreign keys: conversations are deleted past the ORM.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="rewrites")
    old = models.UUIDField(unique=True)
    new = models.UUIDField(unique=True)
    old_bytes = models.BigIntegerField()  # `stored_bytes` of the old one; when it differs, copying begins again
    sealed = models.BinaryField()  # what goes, and the words that are corrected: under the key of the new one
    intent = models.BigIntegerField(null=True)  # id of the log's entry
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"rewrite {self.pk}"


class LegalHold(models.Model):
    """A conversation (or, without one, everything of a subject) that must be kept, and until when."""

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="holds")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, null=True, related_name="holds")
    basis = models.CharField(max_length=64)  # the article
    until = models.DateField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"hold {self.pk}"


class Forgotten(models.Model):
    """A conversation that came by a source and was deleted here: no schedule brings it back. Goes with its person."""

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="forgotten", db_index=False)
    external_index = models.BinaryField(max_length=32)
    index_number = models.PositiveSmallIntegerField(default=1)

    class Meta:
        verbose_name_plural = "forgotten"
        constraints = [models.UniqueConstraint(fields=["subject", "external_index"], name="records_forgotten_once")]

    def __str__(self) -> str:
        return f"forgotten {self.pk}"
