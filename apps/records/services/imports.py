"""Files that people bring: sealed into storage when they arrive, read by a worker, and destroyed when they are read.

waiting → running → done | failed. A worker claims an import with a lease and a token; what it stores and how far it read
are committed together, so that another one goes on exactly there after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.audit.actors import Actor, Role
from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, MasterKeyUnreachable
from apps.keys.services import KeyKind
from apps.locations.errors import LocationError, StorageFull
from apps.records import contexts, importers, objects
from apps.records.errors import BeingErased, Contention, LostClaim, RecordingNotAllowed, SubjectFrozen
from apps.records.importers.reading import read_text
from apps.records.keyring import create_keys_below, is_named_still, open_subject_key, read_under_key
from apps.records.models import Import, Subject
from apps.records.reports import Commit, ImportReport
from apps.records.services.storing import store_conversations
from apps.records.subjects import check_writable, lock_for_writing
from apps.records.uploads import spooled
from apps.sealing import content
from apps.sealing.errors import DecryptionError

RUN_SECONDS = 200.0  # then another task goes on: below the time limit of a task
LEASE = timedelta(seconds=305)  # renewed by each commit; no task lives longer without one (CELERY_TASK_TIME_LIMIT)
PAUSE = timedelta(minutes=1)  # before the next try when the storage, or the place of the master keys, does not answer
PATIENCE = timedelta(seconds=20)  # for the message that starts an import, before a worker looks by itself
MAX_UPLOAD_BYTES = 4 * 1024**3  # the largest exports with pictures are about half of that
MAX_ATTEMPTS = 5  # since something was last committed: a file that kills its worker is not tried for ever
OPEN = (Import.State.WAITING, Import.State.RUNNING)
ENDED = (Import.State.DONE, Import.State.FAILED)


def start_import(subject: Subject, uploaded: UploadedFile, *, actor: Actor, format: str = "auto") -> Import:
    """Seal an uploaded file into storage and return its import; the caller then pokes `tasks.run_import`.

    Key first, then the row, then the object. A file that is too large has failed already. Raises SubjectFrozen, RecordingNotAllowed, StorageFull, Unavailable; then
    nothing is left of it.
    """
    check_writable(subject.pk)
    row = Import(id=uuid4(), subject=subject, object_name=objects.new_name(objects.IMPORTS, subject.pk))
    language = translation.get_language() or settings.LANGUAGE_CODE
    described = {"name": uploaded.name or "", "format": format, "language": language}
    row.size = uploaded.size or 0
    if row.size > MAX_UPLOAD_BYTES:
        return _refuse(row, described)
    [key] = create_keys_below(subject, KeyKind.IMPORT, [row.pk])
    row.key_id = key.id
    row.sealed = _seal_name(subject, row.pk, described)
    with transaction.atomic():
        if not is_named_still(subject, lock_for_writing(subject.pk, recording=True)):
            row.sealed = _seal_name(subject, row.pk, described)
        row.save(force_insert=True)
        audit.append(Event.IMPORT_RECEIVED, about=subject.handle, actor=actor, import_id=row.pk, size=row.size)
    try:
        context = contexts.import_file(key.id, row.pk)
        objects.upload(row.object_name, uploaded.chunks(), key_id=key.id, key=key.key, context=context)
        with transaction.atomic():
            lock_for_writing(subject.pk)
            Import.objects.filter(pk=row.pk).update(stored=True)
    except (LocationError, SubjectFrozen, KeyDestroyed):
        _end(row, Import.State.FAILED, reason="storage_full")
        if not Import.objects.filter(pk=row.pk).exists():  # erased while its bytes were on their way
            objects.try_delete(row.object_name)
        raise
    row.stored = True
    return row


def import_path(subject: Subject, path: Path, *, actor: Actor, format: str = "auto") -> ImportReport:
    """Store what is in a file on this machine, now; raises UnreadableFile, SubjectFrozen, RecordingNotAllowed."""
    reading = importers.read(path, format=format, name=path.name)
    return store_conversations(subject, reading, actor=actor, source=reading.format)


def import_text(subject: Subject, text: str, *, actor: Actor, format: str = "auto") -> ImportReport:
    """Store what was pasted into a box, now; raises UnreadableFile, SubjectFrozen, RecordingNotAllowed."""
    reading = read_text(text, format=format)
    return store_conversations(subject, reading, actor=actor, source=reading.format)


def run_import(import_id: UUID, *, seconds: float = RUN_SECONDS) -> bool:
    """Read an import for at most about `seconds`; True if there is more of it to read. Safe to call at any time.

    An import that another worker holds, or that has ended, is left alone.
    """
    row = _claim(import_id)
    if row is None:
        _tidy(import_id)
        return False
    run = _Run(row)
    try:
        return run.go(seconds)
    except LostClaim:
        return False
    except importers.UnreadableFile as error:
        run.report.skip(run.name or _("the file"), error.why)
        run.fail("unreadable")
    except (DecryptionError, objects.MissingObject):
        with translation.override(run.language):
            run.report.skip(run.name or _("the file"), _("What was received is not there any more. Upload it again."))
        run.fail("unreadable")
    except RecordingNotAllowed:
        run.fail("not_allowed")
    except (SubjectFrozen, KeyDestroyed):
        run.fail("frozen")
    except (BeingErased, Contention, NotSigned):
        run.release(pause=PAUSE)
    except (LocationError, MasterKeyUnreachable) as error:
        run.release(pause=PAUSE, gives_attempt_back=not isinstance(error, StorageFull))
    return False


def due_imports() -> list[UUID]:
    """Return the imports that wait for a worker, have lost theirs, or have ended without being tidied up."""
    now = timezone.now()
    ready = _claimable(now).filter(created_at__lt=now - PATIENCE)
    untidy = Import.objects.filter(state__in=ENDED, key_id__isnull=False, subject__frozen_at__isnull=True)
    return list((ready | untidy).order_by("created_at").values_list("pk", flat=True)[:100])


def run_due_imports() -> int:
    """Read every import that nobody else reads, each to its end; return how many were taken up."""
    due = due_imports()
    for import_id in due:
        while run_import(import_id):
            pass
    return len(due)


def fail_unreceived() -> int:
    """End imports whose upload broke off; return how many."""
    left = Import.objects.filter(
        state=Import.State.WAITING, stored=False, created_at__lt=timezone.now() - timedelta(hours=24)
    )
    for row in list(left.select_related("subject")):
        _end(row, Import.State.FAILED, reason="unreadable")
    return len(left)


class _Run:
    """One claim of an import."""

    def __init__(self, row: Import) -> None:
        self.row, self.subject = row, row.subject
        self.actor = Actor(self.subject.handle, Role.PERSON)
        self.report = ImportReport(format=row.format)
        self.name = ""
        self.language = settings.LANGUAGE_CODE  # in which its person reads what was skipped, and why
        self._written = 0  # of what was skipped

    def go(self, seconds: float) -> bool:
        described, skipped = read_under_key(self.subject, self._open)
        self.name = described["name"]
        for one in skipped:
            self.report.skip(one["what"], one["why"])
        self._written = self.report.skipped_count
        self.language = described.get("language", self.language)
        with translation.override(self.language), spooled(self._plain()) as path:
            reading = importers.read(path, format=described["format"], name=self.name)
            self._note_reading(reading)
            items = _Until(islice(reading, self.row.done_items, None), time.monotonic() + seconds)
            store_conversations(
                self.subject,
                items,
                actor=self.actor,
                source=reading.format,
                import_id=self.row.pk,
                on_commit=self.commit,
                report=self.report,
            )
        if items.is_cut:
            self.release(pause=timedelta(0), gives_attempt_back=True)
            return True
        self._finish()
        return False

    def _open(self, key: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
        """Open what the file is called and what was skipped of it so far."""
        row = Import.objects.get(pk=self.row.pk)
        key_id = self.subject.key_id
        described = content.unseal_json(key, row.sealed, context=contexts.import_name(key_id, row.pk))
        if row.sealed_report is None:
            return described, []
        context = contexts.import_report(key_id, row.pk)
        return described, content.unseal_json(key, row.sealed_report, context=context)

    def commit(self, commit: Commit) -> None:
        """Note progress in the transaction that stores; raises LostClaim, which rolls it back."""
        changes: dict[str, Any] = {
            "conversations": F("conversations") + commit.conversations,
            "messages": F("messages") + commit.messages,
            "attachments": F("attachments") + commit.attachments,
            "already_held": F("already_held") + commit.already_held,
            "done_items": F("done_items") + commit.items,
            "attempts": 0,
            "lease_until": timezone.now() + LEASE,
        }
        self._change(changes | self._report_fields())

    def fail(self, reason: str) -> None:
        """End it. What a frozen person's erasure will take is left to that."""
        if reason != "frozen":
            self._save_report()
        _end(self.row, Import.State.FAILED, reason=reason, token=self.row.token)

    def release(self, *, pause: timedelta, gives_attempt_back: bool = False) -> None:
        """Let another task go on, at once or after a pause."""
        changes: dict[str, Any] = {"state": Import.State.WAITING, "token": None, "lease_until": timezone.now() + pause}
        if gives_attempt_back:
            changes["attempts"] = Greatest(F("attempts") - 1, 0)
        self._update_row(changes)

    def _finish(self) -> None:
        self.row.refresh_from_db()
        if not self.row.conversations and not self.row.already_held:
            self.fail("nothing_found")
        else:
            self._save_report()
            _end(self.row, Import.State.DONE, token=self.row.token)

    def _plain(self) -> Iterator[bytes]:
        key_id = self.row.key_id
        if key_id is None:
            raise objects.MissingObject("the upload has been destroyed")
        context = contexts.import_file(key_id, self.row.pk)
        return objects.download(self.row.object_name, key_id=key_id, key=keys.open_key(key_id), context=context)

    def _note_reading(self, reading: importers.Reading) -> None:
        self.report.format = reading.format
        self._change({"format": reading.format[:24], "total_items": reading.total})

    def _save_report(self) -> None:
        with transaction.atomic():
            self._update_row(self._report_fields())

    def _report_fields(self) -> dict[str, Any]:
        """Seal what was skipped so far, if there is more of it than last time; inside the transaction that saves it."""
        if self.report.skipped_count == self._written:
            return {}
        locked = Subject.objects.select_for_update(no_key=True).get(pk=self.subject.pk)  # its key stays for now
        self.subject.key_id = locked.key_id
        key = keys.open_key(self.subject.key_id)
        context = contexts.import_report(self.subject.key_id, self.row.pk)
        self._written = self.report.skipped_count
        sealed = content.seal_json(key, self.report.skipped, context=context)
        return {"sealed_report": sealed, "skipped": self.report.skipped_count}

    def _change(self, changes: dict[str, Any]) -> None:
        if not self._update_row(changes):
            raise LostClaim

    def _update_row(self, changes: dict[str, Any]) -> int:
        if not changes:
            return 0
        return Import.objects.filter(pk=self.row.pk, token=self.row.token).update(**changes)


class _Until:
    """Items until time is up; at least one, so that every run gets on."""

    def __init__(self, items: Iterable[Any], ends_at: float) -> None:
        self._items, self._ends_at = items, ends_at
        self.is_cut = False

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            if time.monotonic() >= self._ends_at:
                self.is_cut = True
                return


def _claimable(now: Any) -> QuerySet[Import]:
    is_free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    return Import.objects.filter(is_free, state__in=OPEN, stored=True)


def _claim(import_id: UUID) -> Import | None:
    """Take an import for this worker, or None. One that has used up its attempts fails."""
    now, token = timezone.now(), uuid4()
    claimed = _claimable(now).filter(pk=import_id)
    changes = {"state": Import.State.RUNNING, "token": token, "lease_until": now + LEASE}
    if not claimed.update(**changes, attempts=F("attempts") + 1):
        return None
    row = Import.objects.select_related("subject").get(pk=import_id)
    if row.attempts > MAX_ATTEMPTS:
        _end(row, Import.State.FAILED, reason="too_many_attempts", token=token)
        return None
    return row


def _end(row: Import, state: Import.State, *, reason: str = "", token: UUID | None = None) -> None:
    """End an import with its entry, then destroy the upload; a worker that lost its claim changes nothing."""
    subject, actor = row.subject, Actor.system()
    with transaction.atomic():
        ended = Import.objects.filter(pk=row.pk, token=token, state__in=OPEN).update(
            state=state, reason=reason, token=None, lease_until=None, finished_at=timezone.now()
        )
        if not ended:
            return
        row.refresh_from_db()
        if state == Import.State.FAILED:
            audit.append(Event.IMPORT_FAILED, about=subject.handle, actor=actor, import_id=row.pk, reason=reason)
        else:
            audit.append(
                Event.IMPORT_FINISHED,
                about=subject.handle,
                actor=actor,
                import_id=row.pk,
                conversations=row.conversations,
                messages=row.messages,
                attachments=row.attachments,
                already_held=row.already_held,
                skipped=row.skipped,
            )
    _tidy(row.pk)


def _seal_name(subject: Subject, import_id: UUID, described: dict[str, str]) -> bytes:
    key = open_subject_key(subject)
    return content.seal_json(key, described, context=contexts.import_name(subject.key_id, import_id))


def _refuse(row: Import, described: dict[str, str]) -> Import:
    """Write down that a file was too large to be taken, so that its person finds it among the imports."""
    row.state, row.reason, row.finished_at = Import.State.FAILED, "too_large", timezone.now()
    row.sealed = _seal_name(row.subject, row.pk, described)
    with transaction.atomic():
        if not is_named_still(row.subject, lock_for_writing(row.subject_id, recording=True)):
            row.sealed = _seal_name(row.subject, row.pk, described)
        row.save(force_insert=True)
        audit.append(
            Event.IMPORT_FAILED, about=row.subject.handle, actor=Actor.system(), import_id=row.pk, reason=row.reason
        )
    return row


def _tidy(import_id: UUID) -> None:
    """Destroy the key of an upload that has been read, then the object. Repeated by `due_imports` if it broke off."""
    row = Import.objects.select_related("subject").filter(pk=import_id, state__in=ENDED, key_id__isnull=False).first()
    if row is None or row.key_id is None or row.subject.frozen_at is not None:
        return  # a frozen person's key dies with the erasure
    keys.erase_keys([row.key_id], about=row.subject.handle, actor=Actor.system())
    objects.delete(row.object_name)
    Import.objects.filter(pk=row.pk).update(key_id=None, stored=False)
