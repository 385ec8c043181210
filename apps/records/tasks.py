"""Work in the background. Messages carry ids only; what is to be done stands in the database."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task
from kombu.exceptions import KombuError

from apps.audit.actors import Actor
from apps.audit.errors import AuditError, NotSigned
from apps.keys.errors import KeysError
from apps.locations.errors import LocationError
from apps.records import services, suppression
from apps.records.copies.restoring import run_restore
from apps.records.copies.returning import bring_back, due_returns
from apps.records.copies.running import due_policies, run_policy
from apps.records.errors import RecordsError
from apps.records.indexing import rotating
from apps.records.sources.running import due_sources, forget_old_reports, run_source
from apps.records.sweeping.services import run_sweep, sweep_if_due

SWEEP_SECONDS = (
    3_000  # a million objects take some minutes to list or to restore; below the visibility timeout of a broker
)

log = logging.getLogger(__name__)


def poke_import(import_id: UUID) -> None:
    """Wake a worker. Nothing is lost if that fails: a worker finds the import by itself."""
    try:
        run_import.apply_async([str(import_id)], retry=False)
    except (KombuError, OSError):
        log.warning("no message could be sent: a worker finds the import by itself")


def poke_sweep() -> bool:
    """Ask a worker to compare the storage now; say whether the message was sent."""
    try:
        sweep.apply_async([True], retry=False)
    except (KombuError, OSError):
        return False
    return True


@shared_task(name="apps.records.tasks.run_import")
def run_import(import_id: str) -> None:
    """Read an import; a long one goes on in further tasks."""
    if services.run_import(UUID(import_id)):
        poke_import(UUID(import_id))


@shared_task(name="apps.records.tasks.resume_imports")
def resume_imports() -> int:
    """Poke the imports that wait, or whose worker was lost; return how many."""
    due = services.due_imports()
    for import_id in due:
        poke_import(import_id)
    return len(due)


@shared_task(name="apps.records.tasks.finish_deletions", autoretry_for=(NotSigned,), retry_backoff=True)
def finish_deletions() -> None:
    """Erase the conversations that are marked."""
    services.finish_deletions()


def poke_copies(policy_id: UUID) -> None:
    """Wake a worker. Nothing is lost if that fails: the schedule finds the rule."""
    try:
        run_copies.apply_async([str(policy_id)], retry=False)
    except (KombuError, OSError):
        log.warning("no message could be sent: the schedule finds the copies")


@shared_task(name="apps.records.tasks.run_copies", time_limit=SWEEP_SECONDS)  # one large copy may take long
def run_copies(policy_id: str) -> None:
    """Carry out a rule for copies; long work goes on in further tasks."""
    if run_policy(UUID(policy_id)):
        poke_copies(UUID(policy_id))


@shared_task(name="apps.records.tasks.run_due_copies")
def run_due_copies() -> int:
    """Poke the rules that have something to do; return how many."""
    due = due_policies()
    for policy_id in due:
        poke_copies(policy_id)
    return len(due) + poke_returns()


def poke_returns() -> int:
    """Wake workers to bring back what a restore has lost; return how many rules. The schedule pokes them again."""
    due = due_returns()
    for policy_id in due:
        poke_return(policy_id)
    return len(due)


def poke_return(policy_id: UUID) -> None:
    """Wake a worker. Nothing is lost if that fails: the schedule finds the rule."""
    try:
        bring_back_copies.apply_async([str(policy_id)], retry=False)
    except (KombuError, OSError):
        log.warning("no message could be sent: the schedule finds the copies")


@shared_task(name="apps.records.tasks.bring_back_copies", time_limit=SWEEP_SECONDS)  # one large copy may take long
def bring_back_copies(policy_id: str) -> None:
    """Bring back from a rule's sealed copies what a restore has lost; long work goes on in further tasks."""
    if bring_back(UUID(policy_id)):
        poke_return(UUID(policy_id))


def poke_source(source_id: UUID) -> None:
    """Wake a worker. Nothing is lost if that fails: the schedule finds the source."""
    try:
        read_source.apply_async([str(source_id)], retry=False)
    except (KombuError, OSError):
        log.warning("no message could be sent: the schedule finds the source")


@shared_task(name="apps.records.tasks.read_source", time_limit=SWEEP_SECONDS)  # one file may take long
def read_source(source_id: str) -> None:
    """Read a source; long work goes on in further tasks."""
    if run_source(UUID(source_id)):
        poke_source(UUID(source_id))


@shared_task(name="apps.records.tasks.run_due_sources")
def run_due_sources() -> int:
    """Poke the sources that are due; return how many."""
    due = due_sources()
    for source_id in due:
        poke_source(source_id)
    return len(due)


def poke_restore(policy_id: UUID, *, subject_id: UUID | None = None) -> bool:
    """Ask a worker to restore from copies; say whether the message was sent."""
    try:
        restore_copies.apply_async([str(policy_id), str(subject_id) if subject_id else None], retry=False)
    except (KombuError, OSError):
        return False
    return True


@shared_task(name="apps.records.tasks.restore_copies", time_limit=SWEEP_SECONDS)
def restore_copies(policy_id: str, subject_id: str | None = None) -> None:
    """Restore everything of a rule, or one person's conversations."""
    run_restore(UUID(policy_id), actor=Actor.system(), subject_id=UUID(subject_id) if subject_id else None)


@shared_task(name="apps.records.tasks.sweep", time_limit=SWEEP_SECONDS)
def sweep(now: bool = False) -> None:
    """Compare the storage with the rows and report, once a night or at once. Nothing is removed."""
    try:
        if now:
            run_sweep(actor=Actor.system())
        else:
            sweep_if_due()
    except LocationError as error:
        log.warning("the storage was not compared to the end: %s", error)


@shared_task(name="apps.records.tasks.finish_rotations")
def finish_rotations() -> None:
    """Go on with changing keys of blind indexes."""
    try:
        rotating.finish_rotations()
    except (AuditError, KeysError, LocationError) as error:  # the next run goes on
        log.warning("blind indexes: %s; tried again", type(error).__name__)


@shared_task(name="apps.records.tasks.nightly")
def nightly() -> None:
    """What time brings: retention, deletions and uploads that broke off."""
    for duty in (
        services.sweep_attachments,
        services.fail_unreceived,
        services.resume_rewrites,
        services.finish_deletions,
        services.run_retention,
        forget_old_reports,
        suppression.forget_expired,
    ):
        try:
            duty()
        except (AuditError, KeysError, LocationError, RecordsError) as error:  # the next run makes up for it
            log.warning("%s could not be done: %s", duty.__name__, type(error).__name__)
