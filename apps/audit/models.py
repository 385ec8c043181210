"""The tables of the append-only log. Nothing here refers to another table of the site (DESIGN §3)."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Entry(models.Model):
    """One event, as the exact bytes that are hashed into the log. Written in the transaction of the change it records."""

    created_at = models.DateTimeField()
    event = models.CharField(max_length=48)
    about = models.CharField(max_length=32)  # handle of a request or a subject, or "" for the site itself
    actor = models.CharField(max_length=32)  # handle
    role = models.CharField(max_length=16)
    data = models.BinaryField()  # canonical JSON: what is hashed

    class Meta:
        verbose_name_plural = "entries"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["about", "id"]),
            models.Index(fields=["event", "id"]),
            models.Index(fields=["event", "role", "id"]),
            models.Index(fields=["actor", "id"]),
            models.Index(fields=["role", "id"]),
            models.Index(fields=["created_at", "id"]),
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"


class Pending(models.Model):
    """An entry that the sequencer has not yet given an index."""

    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, primary_key=True, related_name="pending")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"pending {self.pk}"


class Leaf(models.Model):
    """The place of an entry in the log: contiguous indices from 0, append-only."""

    index = models.BigIntegerField(primary_key=True)
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, related_name="leaf")
    leaf_hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "leaves"
        default_permissions = ()

    def __str__(self) -> str:
        return f"leaf {self.index}"


class Tile(models.Model):
    """A full tile of 256 hashes of one level, kept so that one proof reads O(log n) rows (C2SP tlog-tiles)."""

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    root = models.BinaryField(max_length=32)  # of the 256 hashes: one hash of a tile of the next level
    hashes = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="audit_tile_once")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class Checkpoint(models.Model):
    """A signed statement of the size and root of the log (C2SP tlog-checkpoint). Its tiles lie outside the database."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class AnchorState(models.Model):
    """How it stands with one anchor: the last try, and the last checkpoint that was left there."""

    class Outcome(models.TextChoices):
        TRYING = "trying", _("Being tried")
        DONE = "done", _("Done")
        UNREACHABLE = "unreachable", _("Does not answer")
        REFUSED = "refused", _("Says no")
        AHEAD = "ahead", _("Holds another log")  # or more of it: the database was restored or rewritten

    name = models.CharField(max_length=300, primary_key=True)  # kind and place, as settings name it
    tried_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.TRYING)
    size = models.BigIntegerField(default=0)
    anchored_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"anchor {self.name}"


class Anchoring(models.Model):
    """A checkpoint that was left at an anchor, when, and what the anchor gave as a proof (a time stamp)."""

    anchor = models.CharField(max_length=300)
    size = models.BigIntegerField()
    anchored_at = models.DateTimeField()
    proof = models.BinaryField(default=bytes)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["anchor", "-size"])]

    def __str__(self) -> str:
        return f"anchoring {self.pk}"


class SiteState(models.Model):
    """One row: to which installation this records database belongs, and whether the site stands in quarantine."""

    only = models.BooleanField(default=True, unique=True)  # a second row cannot be
    installation = models.UUIDField(null=True)  # the id that the keys database has too
    log_number = models.PositiveSmallIntegerField(default=1)  # of the present log; the first has no number in its name
    gap_found_at = models.DateTimeField(null=True)  # since when it is known that the log cannot be completed
    gap_accepted_by = models.UUIDField(null=True)  # the sign-in of the first of the two people who accept that
    gap_actor = models.CharField(max_length=32, blank=True)  # and how the log calls them
    keys_seen = models.BigIntegerField(default=0)  # how much of the log the keys database had seen at the last start
    quarantined_at = models.DateTimeField(null=True)
    quarantine_reason = models.CharField(max_length=24, blank=True)  # quarantine.Reason

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(name="audit_one_site", condition=Q(only=True)),
            models.CheckConstraint(
                name="audit_quarantine_has_a_reason",
                condition=Q(quarantined_at__isnull=True, quarantine_reason="")
                | Q(Q(quarantined_at__isnull=False) & ~Q(quarantine_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return f"state of installation {self.installation}"
