"""The two addresses that a supervisor asks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from config import health

REQUEST = RequestFactory().get("/readyz")


def test_the_process_answers() -> None:
    assert health.healthz(REQUEST).content == b"ok\n"


@pytest.mark.django_db(databases=["default", "keys"])
def test_a_site_that_can_work_is_ready() -> None:
    response = health.readyz(REQUEST)
    assert (response.status_code, response.content) == (
        200,
        b'{"records": "ok", "keys": "ok", "cache": "ok", "anchors": "ok"}',
    )


@pytest.mark.django_db(databases=["default", "keys"])
def test_too_few_anchors_make_it_degraded_and_still_ready(settings: Any) -> None:
    settings.ANCHORS_WANTED = 2
    response = health.readyz(REQUEST)
    assert response.status_code == 200
    assert b'"anchors": "degraded: 0 of 2"' in response.content


@pytest.mark.django_db(databases=["default", "keys"])
def test_a_database_that_is_down_is_named_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    real = health.MigrationExecutor

    def executor(connection: Any) -> Any:
        if connection.alias == "keys":
            raise OperationalError("connection to db.internal as habeas failed")
        return real(connection)

    monkeypatch.setattr(health, "MigrationExecutor", executor)
    response = health.readyz(REQUEST)
    assert response.status_code == 503
    assert response.content == b'{"records": "ok", "keys": "does not answer", "cache": "ok", "anchors": "ok"}'
