"""Downloadable archives: one ZIP64 as ordered pieces in sealed segments (DESIGN §6)."""

import uuid

from django.db import models


class Archive(models.Model):
    """building → ready → expired | discarded. Publishing is one update; expiry destroys the key."""

    class State(models.TextChoices):
        BUILDING = "building"
        READY = "ready"
        EXPIRED = "expired"
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject_id = models.UUIDField(null=True, db_index=True)
    request_id = models.UUIDField(db_index=True)
    number = models.PositiveSmallIntegerField(default=1)  # a second one follows when a place answers late
    handle = models.CharField(max_length=32)  # the request's, for the log
    key_id = models.UUIDField(null=True)
    language = models.CharField(max_length=16, default="en")
    formats = models.JSONField(default=list)  # of "html", "json", "txt", "csv"
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    size = models.BigIntegerField(null=True)  # bytes of the ZIP
    sha256 = models.CharField(max_length=64, blank=True)  # of the manifest
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True)  # every byte has been sent at least once

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request_id", "number"], name="archives_number_once")]

    def __str__(self) -> str:
        return f"archive {self.pk}"


class Segment(models.Model):
    """A sealed object in storage, written down before it is uploaded. `stored` once its bytes are there."""

    archive = models.ForeignKey(Archive, on_delete=models.CASCADE, related_name="segments")
    step_id = models.UUIDField()
    token = models.UUIDField()  # fencing token of the claim that wrote it
    number = models.PositiveIntegerField()
    object_name = models.CharField(max_length=200, unique=True)
    size = models.BigIntegerField(default=0)  # plain bytes
    stored = models.BooleanField(default=False)
    committed = models.BooleanField(default=False)  # part of the archive; others are swept
    served = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["archive", "step_id", "token", "number"], name="archives_segment_once")
        ]

    def __str__(self) -> str:
        return f"segment {self.pk}"


class Member(models.Model):
    """A file of the ZIP. Its name is generated and says nothing about a person."""

    archive = models.ForeignKey(Archive, on_delete=models.CASCADE, related_name="members")
    step_id = models.UUIDField()
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100)
    crc32 = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    compressed_size = models.BigIntegerField(default=0)
    is_closed = models.BooleanField(default=False)
    offset = models.BigIntegerField(null=True)  # of its local header; set at publishing

    class Meta:
        constraints = [models.UniqueConstraint(fields=["archive", "name"], name="archives_name_once")]
        indexes = [models.Index(fields=["archive", "offset"])]

    def __str__(self) -> str:
        return f"member {self.pk}"


class Piece(models.Model):
    """A run of deflated bytes of one member inside one segment."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="pieces")
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="pieces")
    number = models.PositiveIntegerField()
    start = models.BigIntegerField()  # in the segment's plain bytes
    length = models.BigIntegerField()
    plain_length = models.BigIntegerField()  # before deflating
    plain_sha256 = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "number"], name="archives_piece_once")]

    def __str__(self) -> str:
        return f"piece {self.pk}"
