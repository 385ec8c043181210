"""Celery tasks: ids in, one service called. A message only says "look"; the workers look without one as well."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from apps.requests import engine, upkeep
from apps.requests import worker as _worker  # noqa: F401  # connects the loop that every worker process runs


@shared_task
def run_request(request_id: str) -> None:
    engine.run_request(UUID(request_id))


@shared_task
def reconcile() -> None:
    engine.reconcile()


@shared_task
def nightly() -> None:
    upkeep.nightly()
