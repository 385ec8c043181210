"""Comparing rows and storage, in both directions: what a crash has left goes, what is missing raises an alarm."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from apps.archives import objects
from apps.archives.models import Archive, Segment
from apps.locations.errors import LocationError

SWEEP_AFTER = timedelta(hours=24)  # by then every claim has ended: a lease lasts minutes

logger = logging.getLogger(__name__)


def sweep_segments(archive: Archive | None = None, *, keep_token: UUID | None = None) -> int:
    """Delete the objects and rows of segments that no batch committed; return how many.

    Of one archive, once no step of it runs (`keep_token`: but those of this claim). Without one, of all that are older
    than 24 h, and objects of that age that no row names, too; objects that are missing are reported to the log file.
    """
    lost = Segment.objects.filter(committed=False)
    if archive is not None:
        lost = lost.filter(archive=archive)
        return _delete_segments(lost.exclude(token=keep_token) if keep_token else lost)
    count = _delete_segments(lost.filter(created_at__lt=timezone.now() - SWEEP_AFTER))
    try:
        return count + sum(_compare(owner) for owner in objects.owners() | _owners_of_rows())
    except LocationError as error:
        logger.warning("archives in storage were not compared with their rows: %s", error)
        return count


def _compare(owner: UUID) -> int:
    """Delete old objects that no row names, and report rows without an object; return how many were deleted."""
    stored = set(objects.names_of(owner))  # before the rows are read: what is uploaded meanwhile has its row already
    rows = Segment.objects.filter(object_name__startswith=f"{objects.folder_of(owner)}/")
    known = set(rows.values_list("object_name", flat=True))
    published = rows.filter(committed=True, archive__state=Archive.State.READY)
    missing = set(published.values_list("object_name", flat=True)) - stored
    if missing:
        logger.error("%d segments of published archives are missing in storage", len(missing))
    oldest = timezone.now() - SWEEP_AFTER
    unknown = [name for name in stored - known if objects.modified(name) < oldest]
    return sum(objects.try_delete(name) for name in unknown)


def _owners_of_rows() -> set[UUID]:
    published = Archive.objects.filter(state=Archive.State.READY).values_list("subject_id", "request_id")
    return {subject_id or request_id for subject_id, request_id in published}


def _delete_segments(segments: QuerySet[Segment]) -> int:
    count = 0
    for segment in segments.order_by("pk").iterator():
        if objects.try_delete(segment.object_name):
            count += Segment.objects.filter(pk=segment.pk, committed=False).delete()[0]
    return count
