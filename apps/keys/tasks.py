"""Celery tasks: the schedule rolls the master key when it is due, and carries out what two people have decided."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import OperationalError

from apps.audit.actors import Actor
from apps.audit.errors import AuditError
from apps.keys.errors import KeysError
from apps.keys.services import destroy_master_keys, roll_if_due

log = logging.getLogger(__name__)


@shared_task
def tend_master_keys() -> None:
    """Hourly, so that a run that was missed or cut short is made up for."""
    try:
        roll_if_due()
        destroy_master_keys(actor=Actor.system())
    except (AuditError, KeysError, OperationalError) as error:
        log.warning("master keys: %s; tried again", type(error).__name__)
