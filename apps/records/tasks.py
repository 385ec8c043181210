"""Work in the background. Messages carry ids only; what is to be done stands in the database."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from apps.audit.errors import NotSigned
from apps.records import services


@shared_task(name="apps.records.tasks.run_import")
def run_import(import_id: str) -> None:
    """Read an import; a long one goes on in further tasks."""
    if services.run_import(UUID(import_id)):
        run_import.delay(import_id)


@shared_task(name="apps.records.tasks.resume_imports")
def resume_imports() -> int:
    """Poke the imports that wait, or whose worker was lost; return how many."""
    due = services.due_imports()
    for import_id in due:
        run_import.delay(str(import_id))
    return len(due)


@shared_task(name="apps.records.tasks.finish_deletions", autoretry_for=(NotSigned,), retry_backoff=True)
def finish_deletions() -> None:
    """Erase the conversations that are marked."""
    services.finish_deletions()


@shared_task(name="apps.records.tasks.nightly")
def nightly() -> None:
    """What time brings: retention, deletions and uploads that broke off."""
    services.sweep_attachments()
    services.fail_unreceived()
    services.finish_deletions()
    services.run_retention()
