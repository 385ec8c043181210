"""Celery tasks of the accounts."""

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone


@shared_task
def purge_sessions() -> None:
    """Delete sessions that have run out."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
