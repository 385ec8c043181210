"""Writing archives: begin, publish, serve, end. The batches are written by writer.py, the last step by finishing.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from apps.archives import objects
from apps.archives.errors import ArchiveGone, StaleBatch
from apps.archives.finishing import finish_archive
from apps.archives.models import Archive, Mark, Member, Piece, Segment
from apps.archives.segments import owner_of
from apps.archives.sweeping import sweep_segments
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys import services as keys
from apps.locations.storage import remove_empty_folder

__all__ = ["finish_archive", "sweep_segments"]

_ROWS = 1000  # deleted in one statement: SQLite's write lock is held for some 10 ms
_MOST_RANGES = 200  # of what was sent; a download in more pieces than that is not followed exactly


def create_archive(
    *, request_id: UUID, subject_id: UUID | None, handle: str, language: str, formats: list[str]
) -> Archive:
    """Return the archive that is being built for a request; begin one, with its key, when there is none.

    The steps of a request call this side by side: a constraint, not this look, keeps it to one. Raises StaleBatch when
    another worker began and published one meanwhile.
    """
    building = Archive.objects.filter(request_id=request_id, state=Archive.State.BUILDING)
    archive = building.first()
    if archive is not None:
        return archive
    archive_id = uuid4()
    key = keys.create_key(keys.KeyKind.ARCHIVE, owner=archive_id)
    highest = Archive.objects.filter(request_id=request_id).aggregate(highest=Max("number"))["highest"]
    try:
        with transaction.atomic():
            return Archive.objects.create(
                id=archive_id,
                request_id=request_id,
                subject_id=subject_id,
                number=(highest or 0) + 1,
                handle=handle,
                key_id=key.id,
                language=language,
                formats=list(formats),
            )
    except IntegrityError:  # another worker was quicker; the key without an owner is swept
        archive = building.first()
        if archive is None:
            raise StaleBatch("another worker published the archive meanwhile") from None
        return archive


def publish(archive: Archive, *, actor: Actor) -> None:
    """Make a finished archive ready, in the caller's transaction; a repeat does nothing."""
    now = timezone.now()
    expires_at = now + timedelta(days=settings.ARCHIVE_LIFETIME_DAYS)
    with transaction.atomic():
        changed = Archive.objects.filter(pk=archive.pk, state=Archive.State.BUILDING, size__isnull=False).update(
            state=Archive.State.READY, ready_at=now, expires_at=expires_at
        )
        archive.refresh_from_db()
        if not changed:
            if archive.state == Archive.State.READY:
                return
            raise StaleBatch("only a finished archive can be published")
        audit.append(
            Event.ARCHIVE_PUBLISHED,
            about=archive.handle,
            actor=actor,
            archive=archive.pk,
            number=archive.number,
            size=archive.size,
            manifest=bytes.fromhex(archive.manifest_sha256),
            missing=archive.missing_count,
        )


def note_served(archive_id: UUID, start: int, stop: int, *, actor: Actor) -> None:
    """Note that the bytes from `start` to before `stop` were sent; once all were, the archive counts as served."""
    with transaction.atomic():
        archive = Archive.objects.select_for_update().filter(pk=archive_id).first()
        if archive is None or start >= stop or archive.size is None:
            return
        archive.served = merge_ranges([*archive.served, [start, stop]])
        is_complete = archive.served == [[0, archive.size]]
        if is_complete and archive.served_at is None:
            archive.served_at = timezone.now()
        archive.save(update_fields=["served", "served_at"])
        audit.append(
            Event.ARCHIVE_DOWNLOADED,
            about=archive.handle,
            actor=actor,
            archive=archive.pk,
            start=start,
            stop=stop,
            complete=is_complete,
        )


def merge_ranges(ranges: Iterable[list[int]]) -> list[list[int]]:
    """Join ranges that touch; of too many, keep the largest."""
    merged: list[list[int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    largest = sorted(merged, key=lambda pair: pair[0] - pair[1])[:_MOST_RANGES]
    return sorted(largest)


def expire_archive(archive_id: UUID, *, actor: Actor) -> None:
    """End a published archive: unreadable first, then its objects and rows go. A repeat goes on where one broke off.

    Outside transactions only: the destruction of the key must be signed first.
    """
    _end(archive_id, Archive.State.READY, Archive.State.EXPIRED, Event.ARCHIVE_EXPIRED, actor)


def discard_archive(archive_id: UUID, *, actor: Actor) -> None:
    """End an archive that is not wanted any more before it was published (the request was withdrawn)."""
    _end(archive_id, Archive.State.BUILDING, Archive.State.DISCARDED, Event.ARCHIVE_DISCARDED, actor)


def expire_due() -> int:
    """End every archive whose time is over, and what an interrupted end has left; return how many."""
    due = Archive.objects.filter(state=Archive.State.READY, expires_at__lte=timezone.now())
    ended = Archive.objects.filter(state__in=[Archive.State.EXPIRED, Archive.State.DISCARDED], key_id__isnull=False)
    count = 0
    for archive_id, state in [*due.values_list("pk", "state"), *ended.values_list("pk", "state")]:
        discarded = state == Archive.State.DISCARDED
        (discard_archive if discarded else expire_archive)(archive_id, actor=Actor.system())
        count += 1
    return count


def archive_key_ids(subject_id: UUID) -> list[UUID]:
    """Return the keys of a person's archives, for the destroy step of an erasure."""
    archives = Archive.objects.filter(subject_id=subject_id, key_id__isnull=False)
    return [key_id for key_id in archives.values_list("key_id", flat=True) if key_id]


def erase_archives(subject_id: UUID) -> int:
    """Delete objects and rows of all archives of a person; return how many. Their keys die in the destroy step."""
    count = 0
    for archive in Archive.objects.filter(subject_id=subject_id).order_by("pk"):
        _delete_content(archive)
        Archive.objects.filter(pk=archive.pk).delete()
        count += 1
    for name in objects.names_left(subject_id):  # what a crash has left without a row
        objects.delete(name)
    remove_empty_folder(objects.folder_of(subject_id))
    return count


def _end(archive_id: UUID, before: str, after: str, event: Event, actor: Actor) -> None:
    with transaction.atomic():
        archive = Archive.objects.filter(pk=archive_id).first()
        if archive is None:
            return
        if Archive.objects.filter(pk=archive_id, state=before).update(state=after):
            segments = Segment.objects.filter(archive=archive, committed=True).count()
            audit.append(event, about=archive.handle, actor=actor, archive=archive.pk, segments=segments)
        elif archive.state != after:
            raise ArchiveGone(f"an archive that is {archive.state} cannot become {after}")
    if archive.key_id is not None:
        keys.erase_keys([archive.key_id], about=archive.handle, actor=actor, reason="erased")
    _delete_content(archive)
    remove_empty_folder(objects.folder_of(owner_of(archive)))
    Archive.objects.filter(pk=archive_id).update(key_id=None, served=[])


def _delete_content(archive: Archive) -> None:
    """Delete the objects and rows below an archive: objects first, so that none is forgotten."""
    for name in Segment.objects.filter(archive=archive).values_list("object_name", flat=True).iterator():
        objects.delete(name)
    for model in (Piece, Mark, Member, Segment):
        rows = model._default_manager.filter(archive=archive)
        while numbers := list(rows.order_by("pk").values_list("pk", flat=True)[:_ROWS]):
            rows.filter(pk__lte=numbers[-1]).delete()
