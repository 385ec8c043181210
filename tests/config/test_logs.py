"""The log keeps the place of an error, and of what it says only what is ours."""

from __future__ import annotations

import logging
import sys

import pytest
from django.test import Client

from apps.mail.errors import Undeliverable
from config.logs import KNOWN, PlainFormatter, TaskFilter, configuration


def record_of(error: BaseException, name: str = "django.request", args: object = None) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        return logging.LogRecord(name, logging.ERROR, __file__, 1, "failed", args, sys.exc_info())  # type: ignore[arg-type]


def test_the_text_of_a_foreign_exception_stays_out() -> None:
    line = PlainFormatter().format(record_of(ValueError("Key (email)=(ada@example.org) already exists")))
    assert "builtins.ValueError" in line
    assert "test_logs.py" in line
    assert "ada@example.org" not in line


def test_the_text_of_our_own_stays_in_and_a_foreign_cause_out() -> None:
    error = Undeliverable("letter 7")
    error.__cause__ = OSError("ada@example.org refused")
    line = PlainFormatter().format(record_of(error))
    assert "apps.mail.errors.Undeliverable: letter 7" in line
    assert "builtins.OSError" in line
    assert "ada@example.org" not in line


def test_what_celery_says_about_a_failed_task_names_the_type_alone() -> None:
    record = record_of(
        ValueError("ada@example.org"), "celery.app.trace", ({"name": "t", "exc": "ValueError('ada@example.org')"},)
    )
    assert TaskFilter().filter(record)
    record.msg = "Task %(name)s raised: %(exc)s"
    assert record.getMessage() == "Task t raised: builtins.ValueError"


@pytest.mark.parametrize(
    "name",
    ["azure.core.pipeline.policies.http_logging_policy", "urllib3.connectionpool", "httpx", "paramiko.transport"],
)
def test_what_a_package_says_that_asks_other_systems_stays_out_but_for_the_place(name: str) -> None:
    record = logging.LogRecord(name, logging.WARNING, __file__, 7, "GET %s", ("/bucket/users/ada@example.org",), None)
    line = PlainFormatter().format(record)
    assert name in line
    assert "test_logs.py:7" in line
    assert "ada@example.org" not in line
    assert record.getMessage() == "GET /bucket/users/ada@example.org"  # for other handlers it is what it was


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_no_level_makes_it_say_each_address_that_is_asked(level: str) -> None:
    setting = configuration(level)
    assert setting["root"]["level"] == "WARNING"
    assert {name: setting["loggers"][name]["level"] for name in KNOWN} == dict.fromkeys(KNOWN, level)
    assert (
        PlainFormatter()
        .format(logging.LogRecord("apps.x", logging.INFO, "", 1, "moved %s", (3,), None))
        .endswith("moved 3")
    )


@pytest.mark.django_db(databases=["default", "keys"])
@pytest.mark.parametrize(
    ("path", "pattern"),
    [("/requests/confirm/a-secret-link/", "requests/confirm/<str:token>/"), ("/a-secret-link/", "no page of ours")],
)
def test_the_address_of_a_page_stays_out(path: str, pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    Client(enforce_csrf_checks=True).post(path)
    Client().get(path)
    lines = [PlainFormatter().format(record) for record in caplog.records if record.name.startswith("django.")]
    assert len(lines) == 2
    assert all(pattern in line for line in lines)
    assert not any("a-secret-link" in line for line in lines)
