"""Log lines without personal data.

Messages of our own exceptions hold ids only. Those of others may quote what they worked on (PostgreSQL names the
offending row, a parser its input): of these the log keeps the type and the place. The same holds for what packages say
that speak with other systems: the path of an object holds the id of a person, and an SDK writes it into each line.
"""

from __future__ import annotations

import copy
import logging
import traceback
from types import TracebackType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import TemplateDoesNotExist

OWN = ("apps.", "config.")
KNOWN = ("apps", "config", "django", "celery", "kombu", "billiard", "uvicorn")  # what they say is known, others' is not
ABOUT_CODE = (ImportError, AttributeError, NameError, TemplateDoesNotExist, ImproperlyConfigured)  # they name no data
FORMAT = "{asctime} {levelname} {name} {message}"


def configuration(level: str) -> dict[str, Any]:
    """Return the setting LOGGING. Of packages that are not KNOWN there are warnings alone, whatever the level."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"()": "config.logs.PlainFormatter"}},
        "filters": {"tasks": {"()": "config.logs.TaskFilter"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["tasks"]}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {name: {"handlers": [], "propagate": True, "level": level} for name in KNOWN}
        | {
            "django.server": {"handlers": [], "propagate": True},
            "celery.worker.strategy": {"level": "WARNING"},  # a line for each task that comes and goes
            "celery.app.trace": {"level": "WARNING"},
            "kombu.connection": {"level": "ERROR"},
            "uvicorn.access": {"level": "CRITICAL"},  # addresses, and pages that say who asks for what
        },
    }


def describe(error: BaseException) -> str:
    """The type, and the message where it is ours or about code."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{name}: {error}" if name.startswith(OWN) or isinstance(error, ABOUT_CODE) else name


class PlainFormatter(logging.Formatter):
    """One line a record; a traceback names files and lines, and of each exception what `describe` lets out."""

    def __init__(self) -> None:
        super().__init__(FORMAT, style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Of a package that is not known: where it said it. Django names the page last; the log keeps its pattern.

        The address of a page may hold a secret link or a reference.
        """
        if record.name.partition(".")[0] not in KNOWN:
            record = copy.copy(record)
            record.msg, record.args = "says something (%s:%s)", (record.pathname, record.lineno)
        request, values = getattr(record, "request", None), record.args
        if isinstance(request, HttpRequest) and isinstance(values, tuple) and values:
            record = copy.copy(record)
            record.args = (*values[:-1], _pattern(request))
        return super().format(record)

    def formatException(self, ei: Any) -> str:
        error: BaseException | None = ei[1]
        parts: list[str] = []
        while error is not None:
            parts.insert(0, f"{describe(error)}\n{_places(error.__traceback__)}".rstrip())
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nthen\n".join(parts)


def _pattern(request: HttpRequest) -> str:
    return request.resolver_match.route if request.resolver_match else "no page of ours"


def _places(trace: TracebackType | None) -> str:
    return "\n".join(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace))


class TaskFilter(logging.Filter):
    """Takes the text of an exception out of what Celery says about a failed task."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "celery.app.trace" and isinstance(record.args, dict) and "exc" in record.args:
            error = record.exc_info[1] if record.exc_info else None
            record.args = {**record.args, "exc": describe(error) if error else "", "traceback": ""}
        return True
