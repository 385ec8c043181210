"""Downloadable archives: one ZIP64 as ordered pieces in sealed segments (DESIGN §6).

Nothing of the ZIP's own structure is stored: local headers, central directory and all positions follow from these rows
(layout.py). Deleting is done by services in batches, so no foreign key cascades.
"""

import uuid

from django.db import models


class Archive(models.Model):
    """building → ready → expired, or building → discarded. Publishing is one update; both ends destroy the key.

    `key_id` is kept until key, objects and rows are gone: an ended archive that still has one is to be finished off.
    """

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
    member_count = models.BigIntegerField(null=True)  # set when the archive is finished, with the two below
    central_start = models.BigIntegerField(null=True)  # where the central directory begins
    size = models.BigIntegerField(null=True)  # bytes of the ZIP
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    missing_count = models.PositiveIntegerField(default=0)  # places that are not in it
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    served = models.JSONField(default=list)  # ranges [start, stop) that were sent
    served_at = models.DateTimeField(null=True)  # every byte has been sent at least once

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request_id", "number"], name="archives_number_once"),
            models.UniqueConstraint(
                fields=["request_id"], condition=models.Q(state="building"), name="archives_one_building"
            ),
        ]
        indexes = [models.Index(fields=["state", "expires_at"])]

    def __str__(self) -> str:
        return f"archive {self.pk}"


class Segment(models.Model):
    """A sealed object in storage, written down before it is uploaded; `stored` once it is, `committed` with its batch."""

    archive = models.ForeignKey(Archive, on_delete=models.DO_NOTHING, related_name="segments")
    step_id = models.UUIDField()
    token = models.UUIDField()  # fencing token of the claim that wrote it
    number = models.PositiveIntegerField()  # counts for each token
    object_name = models.CharField(max_length=200, unique=True)
    size = models.BigIntegerField(default=0)  # plain bytes
    stored = models.BooleanField(default=False)
    committed = models.BooleanField(default=False)  # part of the archive; others are swept
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["archive", "step_id", "token", "number"], name="archives_segment_once")
        ]

    def __str__(self) -> str:
        return f"segment {self.pk}"


class Member(models.Model):
    """A file of the ZIP, in the order of ids. Its name is generated and says nothing about a person."""

    archive = models.ForeignKey(Archive, on_delete=models.DO_NOTHING, related_name="members", db_index=False)
    step_id = models.UUIDField()
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100)
    method = models.PositiveSmallIntegerField(default=8)  # 8: deflated, 0: stored
    crc32 = models.BigIntegerField(default=0)  # of what is written so far
    size = models.BigIntegerField(default=0)
    packed_size = models.BigIntegerField(default=0)
    piece_count = models.PositiveIntegerField(default=0)
    is_closed = models.BooleanField(default=False)
    is_listed = models.BooleanField(default=True)  # part of the ZIP; the list of contents is not

    class Meta:
        constraints = [models.UniqueConstraint(fields=["archive", "name"], name="archives_name_once")]
        indexes = [models.Index(fields=["archive", "id"])]

    def __str__(self) -> str:
        return f"member {self.pk}"


class Piece(models.Model):
    """A run of packed bytes of one member inside one segment: what one deflater wrote, ending on a byte boundary."""

    archive = models.ForeignKey(Archive, on_delete=models.DO_NOTHING, related_name="pieces", db_index=False)
    member = models.ForeignKey(Member, on_delete=models.DO_NOTHING, related_name="pieces", db_index=False)
    segment = models.ForeignKey(Segment, on_delete=models.DO_NOTHING, related_name="pieces", db_index=False)
    number = models.PositiveIntegerField()
    start = models.BigIntegerField()  # in the segment's plain bytes
    length = models.BigIntegerField()
    sha256 = models.BinaryField(max_length=32)
    plain_length = models.BigIntegerField()  # before deflating
    plain_sha256 = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["archive", "member", "number"], name="archives_piece_once")]

    def __str__(self) -> str:
        return f"piece {self.pk}"


class Mark(models.Model):
    """Where the local header and the central header of every 1,000th member stand, so that a range is found quickly."""

    archive = models.ForeignKey(Archive, on_delete=models.DO_NOTHING, related_name="marks", db_index=False)
    number = models.PositiveIntegerField()
    member = models.ForeignKey(Member, on_delete=models.DO_NOTHING, related_name="+", db_index=False)
    offset = models.BigIntegerField()
    central_offset = models.BigIntegerField()  # from the beginning of the central directory

    class Meta:
        constraints = [models.UniqueConstraint(fields=["archive", "number"], name="archives_mark_once")]

    def __str__(self) -> str:
        return f"mark {self.pk}"
