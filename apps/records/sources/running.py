"""Reading a source: batch after batch, each stored before the cursor moves. One worker at a time for each source.

What the person decided comes first: nothing is stored for somebody who is being erased, whose data is restricted or who
withdrew the consent, and nothing that they deleted here comes back.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.keys.errors import KeyDestroyed, MasterKeyUnreachable
from apps.keys.services import site_key
from apps.locations.errors import LocationError
from apps.locations.said import kept
from apps.records import subjects, suppression
from apps.records.copies.running import reason_of
from apps.records.errors import (
    IdentityTaken,
    LostClaim,
    RecordingNotAllowed,
    RecordsError,
    SubjectFrozen,
    SubjectSuppressed,
)
from apps.records.importers.types import ParsedConversation, Skipped
from apps.records.indexing.ring import CONVERSATION, open_ring
from apps.records.models import Source, SourceRun, Subject
from apps.records.reports import Commit
from apps.records.services.deleting import BY_SCHEDULE
from apps.records.services.storing import external_indexes, store_conversations
from apps.records.sources.files import SeenFiles, kind_of
from apps.records.sources.reading import Batch, Cursor, reader_for
from apps.sealing import content
from apps.sealing.aead import associated_data

logger = logging.getLogger(__name__)

RUN_SECONDS = 200.0
LEASE = timedelta(seconds=305)
PERIODS = {Source.Every.HOURLY: timedelta(hours=1), Source.Every.DAILY: timedelta(days=1)}
AGAIN = timedelta(minutes=10)  # when the place, or that of the master keys, does not answer
WHOLE_AGAIN = timedelta(days=30)  # what came too late for the cursor, or of somebody not known then, comes in by it
# Ids that are given out once in the world: by them what comes from two sides is known to be the same.
UNIQUE = re.compile(
    r"[0-9a-f]{24}|[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|(chatcmpl|resp|conv)[-_]\w+", re.IGNORECASE
)
WHOLE = "whole"  # in a cursor: when all was last read from the beginning
MOST_TROUBLES = 500
MOST_UNKNOWN = 200  # named
MOST_COUNTED = 20_000  # of more the count says no more than that
MARK_DIGITS = 16
REPORTS_KEPT = timedelta(days=14)  # they name rows and people
KEPT = 60  # runs of a source that are shown


def due_sources() -> list[UUID]:
    now = timezone.now()
    free = wanted_sources().filter(Q(lease_until=None) | Q(lease_until__lte=now), next_run_at__lte=now)
    return list(free.values_list("pk", flat=True))


def wanted_sources() -> QuerySet[Source]:
    """Return the sources that are read: not those that were stopped, nor those of a place that is switched off."""
    return Source.objects.filter(is_active=True, location__is_enabled=True)


def run_source(source_id: UUID, *, seconds: float = RUN_SECONDS) -> bool:
    """Read for at most about `seconds`; True if there is more. Safe to call at any time."""
    source = _claim(source_id)
    if source is None:
        return False
    pause = None
    try:
        return _Run(source, time.monotonic() + seconds).go()
    except LostClaim:
        return False
    except (LocationError, RecordsError, MasterKeyUnreachable) as error:
        logger.warning("a source could not be read to the end: %s", type(error).__name__)
        pause = timezone.now() + AGAIN
        return False
    finally:
        Source.objects.filter(pk=source.pk, token=source.token).update(token=None, lease_until=pause)


def forget_old_reports() -> int:
    """Empty the reports whose time is over; return how many."""
    old = SourceRun.objects.filter(started_at__lt=timezone.now() - REPORTS_KEPT, sealed_report__isnull=False)
    return old.update(sealed_report=None)


def report_of(run: SourceRun) -> dict[str, Any]:
    """Open what a run says of rows and people: {"troubles": [[where, why]], "unknown": [value]}.

    "said", where it failed: what the place said, as apps.locations.said keeps it.
    """
    if run.sealed_report is None:
        return {"troubles": [], "unknown": []}
    opened: dict[str, Any] = content.unseal_json(site_key("sources"), run.sealed_report, context=_context(run))
    return opened


def identity_kind(source: Source) -> str:
    """Return by what kind of identity a source knows people."""
    return kind_of_mapping(source.mapping)


def kind_of_mapping(mapping: dict[str, Any]) -> str:
    path = mapping.get("path")
    return kind_of(path) if path else str(mapping.get("person_kind", ""))


def _claim(source_id: UUID) -> Source | None:
    now, token = timezone.now(), uuid4()
    free = wanted_sources().filter(Q(lease_until=None) | Q(lease_until__lte=now), pk=source_id)
    if not free.filter(next_run_at__lte=now).update(token=token, lease_until=now + LEASE):
        return None
    return Source.objects.select_related("location").get(pk=source_id)


def _context(run: SourceRun) -> bytes:
    return associated_data("habeas", "site-key", "records.SourceRun", "sealed_report", run.pk)


class _Run:
    """One claim of a source."""

    def __init__(self, source: Source, ends_at: float) -> None:
        self.source, self.ends_at = source, ends_at
        self.kind = identity_kind(source)
        self.still_erased = import_string(settings.STILL_ERASED)(source.location_id)
        self.beginning = f"{source.location_id}/{source.mapping.get('table') or source.mapping.get('folder') or ''}/"
        open_one = SourceRun.objects.filter(source=source, state=SourceRun.State.RUNNING).first()
        self.run = open_one or SourceRun.objects.create(source=source)
        report = report_of(self.run)
        self.troubles: list[list[str]] = report["troubles"]
        self.unknown: list[str] = report["unknown"]
        self.marks: set[str] = set(report.get("marks", []))
        self.said = ""
        self.cursor: Cursor = dict(source.cursor)
        self.whole = str(self.cursor.pop(WHOLE, ""))
        is_due = not self.whole or datetime.fromisoformat(self.whole) <= timezone.now() - WHOLE_AGAIN
        if not self.cursor or (is_due and open_one is None):
            self.cursor, self.whole = {}, timezone.now().isoformat()

    def go(self) -> bool:
        try:
            reader = reader_for(self.source.location, self.source.mapping, seen=SeenFiles(self.source))
            for batch in reader.batches(self.cursor):
                self._take(batch)
                if time.monotonic() >= self.ends_at and (batch.people or batch.troubles):
                    return True
        except LostClaim:  # the run is another worker's now
            raise
        except (LocationError, RecordsError) as error:
            if isinstance(error, LocationError):
                self.run.reason, self.said = reason_of(error), kept([error.said])
            self._finish(SourceRun.State.FAILED)
            raise
        self._finish(SourceRun.State.DONE)
        return False

    def _take(self, batch: Batch) -> None:
        """Store a batch; only then does the cursor move, and a repeat finds everything held."""
        for trouble in batch.troubles:
            self._trouble(trouble)
        for value, items in batch.people.items():
            self._of_person(value, items)
        self.source.cursor = batch.cursor and {**batch.cursor, WHOLE: self.whole}
        self._note()
        batch.done()

    def _of_person(self, value: str, items: Iterable[ParsedConversation | Skipped]) -> None:
        subject = self._subject(value)
        if subject is None:
            return
        if subject.frozen_at is not None or subject.restricted_at is not None or not subject.is_recording_allowed:
            self._count(withheld=1)
            return
        try:
            report = store_conversations(
                subject, self._wanted(subject, items), actor=Actor.system(), source=BY_SCHEDULE, on_commit=self._renew
            )
        except (SubjectFrozen, RecordingNotAllowed, KeyDestroyed):  # decided this very moment
            self._count(withheld=1)
            return
        for one in report.skipped:
            self._trouble(Skipped(one["what"], one["why"]))
        self._count(skipped=report.skipped_count - len(report.skipped))
        self._count(conversations=report.conversations, messages=report.messages)
        self._count(attachments=report.attachments, already_held=report.already_held)

    def _wanted(
        self, subject: Subject, items: Iterable[ParsedConversation | Skipped]
    ) -> Iterator[ParsedConversation | Skipped]:
        """Leave out what the person deleted here. A conversation that is called 42 is another one in each table."""
        forgotten = {bytes(one) for one in subject.forgotten.values_list("external_index", flat=True)}
        ring = open_ring(CONVERSATION) if forgotten else None  # what was deleted before this moment stands under these
        for item in items:
            indexes = []
            if isinstance(item, ParsedConversation) and not UNIQUE.fullmatch(item.external_id):
                item.external_id = f"{self.beginning}{item.external_id}"
            if ring is not None and isinstance(item, ParsedConversation):
                indexes = external_indexes(ring, subject.pk, item.external_id)
            if not forgotten.isdisjoint(indexes):
                self._count(deleted_here=1)
                continue
            yield item

    def _subject(self, value: str) -> Subject | None:
        """Find whom a value names; add them where the source may, else count and name them.

        Whoever is still being erased in this very place is neither: also if they have signed up anew meanwhile.
        """
        found = self._known(value)
        if self.still_erased.is_named_by(self.kind, value):
            self._count(withheld=1)
            return None
        if len(found) == 1:
            return found[0]
        if found:
            self._trouble(Skipped(value, _("More than one person is known by this.")))
            return None
        if self.source.adds_people:
            return self._add_person(value)
        self._note_unknown(value)
        return None

    def _note_unknown(self, value: str) -> None:
        """Count each person once, however often a run meets them, and name the first ones."""
        mark = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_DIGITS]
        if mark in self.marks:
            return
        if len(self.marks) < MOST_COUNTED:
            self.marks.add(mark)
            self._count(unknown_people=1)
        if len(self.unknown) < MOST_UNKNOWN:
            self.unknown.append(value)

    def _known(self, value: str) -> list[Subject]:
        if self.kind == "subject_id":
            try:
                return list(Subject.objects.filter(pk=UUID(value)))
            except ValueError:
                return []
        return subjects.find_by_identity(self.kind, value)

    def _add_person(self, value: str) -> Subject | None:
        if self.kind == "subject_id":
            return None
        try:
            suppression.refuse_suppressed([(self.kind, value)])
            subject = subjects.create_subject(known_by=[(self.kind, value)])
        except SubjectSuppressed:  # erased, and not brought in again
            self._count(withheld=1)
            return None
        except IdentityTaken:  # somebody else was faster
            return next(iter(self._known(value)), None)
        self._count(added_people=1)
        return subject

    def _trouble(self, skipped: Skipped) -> None:
        self._count(skipped=1)
        if len(self.troubles) < MOST_TROUBLES:
            self.troubles.append([skipped.what, skipped.why])

    def _count(self, **more: int) -> None:
        for name, number in more.items():
            if number:
                self.run.counts[name] = self.run.counts.get(name, 0) + number

    def _renew(self, _commit: Commit) -> None:
        """Keep the claim while a large file is stored; raises LostClaim, which rolls back what is being stored."""
        mine = Source.objects.filter(pk=self.source.pk, token=self.source.token)
        if not mine.update(lease_until=timezone.now() + LEASE):
            raise LostClaim

    def _note(self) -> None:
        """Keep how far it is; raises LostClaim when another worker has taken over."""
        self._seal_report()
        with transaction.atomic():
            mine = Source.objects.filter(pk=self.source.pk, token=self.source.token)
            if not mine.update(cursor=self.source.cursor, lease_until=timezone.now() + LEASE):
                raise LostClaim
            self.run.save(update_fields=["counts", "sealed_report"])

    def _seal_report(self) -> None:
        if self.troubles or self.unknown or self.said:
            report: dict[str, Any] = {"troubles": self.troubles, "unknown": self.unknown}
            report |= {"said": self.said} if self.said else {}
            if self.run.state == SourceRun.State.RUNNING:  # for the next piece of the same run
                report["marks"] = sorted(self.marks)
            self.run.sealed_report = content.seal_json(site_key("sources"), report, context=_context(self.run))

    def _finish(self, state: SourceRun.State) -> None:
        source, counts = self.source, self.run.counts
        self.run.state, self.run.finished_at = state, timezone.now()
        self._seal_report()
        later = self.run.started_at + PERIODS[Source.Every(source.every)]
        with transaction.atomic():
            self.run.save()
            Source.objects.filter(pk=source.pk).update(
                next_run_at=later if state == SourceRun.State.DONE else timezone.now() + AGAIN
            )
            names = (
                "conversations",
                "messages",
                "attachments",
                "already_held",
                "skipped",
                "unknown_people",
                "withheld",
            )
            audit.append(
                Event.SOURCE_READ,
                about="",
                actor=Actor.system(),
                source=source.pk,
                complete=state == SourceRun.State.DONE,
                **{name: counts.get(name, 0) for name in names},
            )
        old = SourceRun.objects.filter(source=source).order_by("-started_at").values_list("pk", flat=True)
        SourceRun.objects.filter(pk__in=list(old[KEPT : KEPT + 100])).delete()
