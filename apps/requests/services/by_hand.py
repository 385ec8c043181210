"""Confirming what was done by hand in a place that nothing can be connected to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.requests.engine import poke
from apps.requests.errors import EmptyText, WrongStatus
from apps.requests.models import Step, Task, TaskFile
from apps.requests.schedule import ACTIVE
from apps.requests.services.changing import lock_request
from apps.requests.services.deciding import refuse_own
from apps.requests.task_files import keep_task_files
from apps.requests.vault import open_vault, seal_task, task_words


@transaction.atomic
def confirm_task(
    task: Task,
    *,
    note: str,
    item_count: int,
    stays_until: date | None = None,
    files: Sequence[TaskFile] = (),
    officer: User,
    actor: Actor,
) -> None:
    """Write down what was done, and let the step go on with it. `files` were taken before (task_files.py).

    `item_count`: how many items there were, 0 for none. `stays_until`: something had to stay; the task comes back then.
    Raises EmptyText, OwnRequest, and WrongStatus when it is confirmed already or the request has ended.
    """
    refuse_own(task.request, actor, officer)
    if not note.strip():
        raise EmptyText
    lock_request(task.request, *ACTIVE)
    locked = Task.objects.select_for_update().filter(pk=task.pk, confirmed_at__isnull=True).first()
    waiting = Step.objects.filter(pk=task.step_id, state__in=(Step.State.NEEDS_PERSON, Step.State.BLOCKED))
    if locked is None or not waiting.exists():
        raise WrongStatus(task.request.reference)
    keep_task_files(files)
    vault = open_vault(task.request)
    words = task_words(locked, vault) | {"note": note.strip()}
    Task.objects.filter(pk=locked.pk).update(
        confirmed_at=timezone.now(),
        item_count=item_count,
        stays_until=stays_until,
        officer=officer,
        sealed=seal_task(locked, words, vault),
    )
    waiting.update(
        state=Step.State.PENDING, attempts=0, next_try_at=None, reason="", until=None, blocked_since=None, sealed_cursor=None
    )  # fmt: skip
    audit.append(
        Event.STEP_CONFIRMED,
        about=task.request.handle,
        actor=actor,
        step=locked.step_id,
        phase=task.step.phase,
        location=task.step.location_id,
        items=item_count,
        documents=locked.files.filter(stored=True).count(),
        until=stays_until,
    )
    poke(task.request_id)
    task.refresh_from_db()
