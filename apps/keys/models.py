"""Wrapped keys and the tombstones of destroyed ones, in a database of their own (DESIGN §2)."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.keys.kinds import KeyKind


class Epoch(models.Model):
    """A master key's time of service: current → retired → emptied → destroyed. The master key is never in a database."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.CharField(max_length=16)  # a name of providers.PROVIDERS
    reference = models.CharField(max_length=1000)  # what the provider finds the master key by
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)  # from here on no key is wrapped under it
    emptied_at = models.DateTimeField(null=True)  # a roll has seen that no live key needs it any more
    proposal = models.ForeignKey("Proposal", on_delete=models.SET_NULL, null=True, related_name="epochs")
    intent_entry = models.BigIntegerField(
        null=True
    )  # the entry that announces the destruction: from here on only forward
    destroyed_at = models.DateTimeField(null=True)
    gone_at = models.DateTimeField(null=True)  # when its provider has let go of it for good; None: cannot be proven

    class Meta:
        default_permissions = ("view",)
        permissions = (("decide_destruction", "Can propose and approve destroying master keys"),)
        constraints = [models.UniqueConstraint(fields=["provider", "reference"], name="keys_master_key_once")]

    def __str__(self) -> str:
        return f"epoch {self.pk}"


class Key(models.Model):
    """A wrapped key, or the tombstone of one: then nothing but its id and when it was destroyed remains.

    live: wrapped under the key `parent_id`, or else under the master key of `epoch`. destroyed: `destroyed_at` is set and
    everything else is empty. A key whose parent is a tombstone counts as destroyed with it. There is no way back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=24, choices=KeyKind.choices, blank=True)
    name = models.CharField(max_length=64, blank=True)  # of a key that the site has once, "" for all others
    owner = models.UUIDField(null=True, db_index=True)  # id of the subject, conversation, request, archive …
    parent_id = models.UUIDField(null=True, db_index=True)  # the subject key of a conversation key
    epoch = models.ForeignKey(Epoch, on_delete=models.PROTECT, null=True)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, null=True)
    # A key below this one was destroyed: an old copy of that one still opens under this one, until it is replaced.
    child_destroyed_at = models.DateTimeField(null=True)
    replaces = models.UUIDField(null=True, unique=True)  # the key in whose place this one comes, until that one is gone
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["kind", "id"], name="keys_by_kind")]
        constraints = [
            models.CheckConstraint(
                name="keys_live_or_tombstone",
                condition=Q(
                    Q(parent_id__isnull=True, epoch__isnull=False) | Q(parent_id__isnull=False, epoch__isnull=True),
                    wrapped__isnull=False,
                    destroyed_at__isnull=True,
                )
                | Q(
                    wrapped__isnull=True,
                    destroyed_at__isnull=False,
                    kind="",
                    name="",
                    owner__isnull=True,
                    parent_id__isnull=True,
                    epoch__isnull=True,
                    created_at__isnull=True,
                    child_destroyed_at__isnull=True,
                    replaces__isnull=True,
                ),
            ),
            models.UniqueConstraint(fields=["kind", "name"], condition=~Q(name=""), name="keys_named_once"),
        ]

    def __str__(self) -> str:
        return f"key {self.pk}"


class Removed(models.Model):
    """A destroyed key, and the live one above it that could still open an old copy of it; until that one is replaced."""

    parent_id = models.UUIDField(db_index=True)
    removed_id = models.UUIDField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["parent_id", "removed_id"], name="keys_removed_once")]

    def __str__(self) -> str:
        return f"removed {self.pk}"


class Backup(models.Model):
    """A file of `backup_keys` that was read back and found whole. Where it lies is not known here."""

    sha256 = models.BinaryField(max_length=32)
    keys = models.PositiveIntegerField()
    tombstones = models.PositiveIntegerField()
    begun_at = models.DateTimeField()  # what was changed later is not in it
    verified_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["-begun_at"], name="keys_newest_backup")]

    def __str__(self) -> str:
        return f"backup {self.pk}"


class Proposal(models.Model):
    """That master keys be destroyed: proposed → approved by another person → executed; or withdrawn before that.

    A standing one names no epochs: it is the policy under which each emptied epoch goes by itself, until it is withdrawn.
    An approval counts only while `approval_entry` is in the log: the two databases are not committed together.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    is_standing = models.BooleanField(default=False)
    proposed_by = models.UUIDField()  # id of a sign-in, as `approved_by`
    proposed_at = models.DateTimeField(default=timezone.now)
    approved_by = models.UUIDField(null=True)
    approved_at = models.DateTimeField(null=True)
    approval_entry = models.BigIntegerField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    executed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                name="keys_approved_by_another",
                condition=Q(approved_by__isnull=True, approved_at__isnull=True, approval_entry__isnull=True)
                | Q(approved_by__isnull=False, approved_at__isnull=False, approval_entry__isnull=False)
                & ~Q(approved_by=F("proposed_by")),
            ),
            models.UniqueConstraint(
                fields=["is_standing"],
                condition=Q(is_standing=True, withdrawn_at__isnull=True),
                name="keys_one_standing_policy",
            ),
        ]

    def __str__(self) -> str:
        return f"proposal {self.pk}"


class Installation(models.Model):
    """One row: which installation this keys database belongs to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    only = models.BooleanField(default=True, unique=True)  # a second row cannot be
    created_at = models.DateTimeField(default=timezone.now)
    restored_at = models.DateTimeField(null=True)  # the last time that a backup of keys was read in
    # Every key that the first so many entries of the log say is destroyed, is a tombstone here. It goes back with a
    # restore of this database, and stands ahead of the log after one of the records.
    log_size = models.BigIntegerField(default=0)
    waiting_keys = models.PositiveIntegerField(default=0)  # without an owner, and too many to sweep unseen

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="keys_one_installation", condition=Q(only=True))]

    def __str__(self) -> str:
        return f"installation {self.pk}"
