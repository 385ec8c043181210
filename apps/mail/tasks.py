"""Celery tasks of the outbox. The rows are the truth; a task is only a wake-up."""

from celery import shared_task

from apps.mail import services


@shared_task
def send_due_letters() -> None:
    services.send_due_letters()


@shared_task
def purge_letters() -> None:
    services.purge_letters()
