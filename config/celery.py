"""The Celery application. Tasks carry ids only; what is to be done stands in the database (DESIGN §5)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("habeas", task_cls="apps.audit.tasks:QuietTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
