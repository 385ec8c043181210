from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.quarantine import Reason
from config import health

pytestmark = [pytest.mark.starts, pytest.mark.django_db(databases=["default", "keys"])]

PAGES = ["/", "/privacy/", "/conversations/", "/requests/new/", "/requests/find/", "/admin/", "/audit/",
         "/audit/log/checkpoint", "/accounts/signup/", "/accounts/email/", "/accounts/sign-ins/", "/nowhere/"]  # fmt: skip


@pytest.fixture
def closed() -> None:
    quarantine.enter(Reason.LOG_BEHIND)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_that_the_site_is_closed(closed: None, client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 503
    assert response["Retry-After"]
    assert "restored from a backup" in response.content.decode()
    assert "replay_tombstones" not in response.content.decode(), "what staff do is not for everybody"


def test_signing_in_works_and_leads_to_the_page(ada: Any, closed: None, client: Client) -> None:
    assert client.get("/accounts/login/").status_code == 200
    client.force_login(ada.user)
    response = client.get("/privacy/")
    assert response.status_code == 503
    assert "replay_tombstones" not in response.content.decode()


def test_staff_see_why_and_what_to_do(ada: Any, closed: None, client: Client) -> None:
    type(ada.user).objects.filter(pk=ada.user.pk).update(is_staff=True)
    client.force_login(ada.user)
    page = client.get("/admin/").content.decode()
    assert "manage.py replay_tombstones" in page
    assert str(Reason.LOG_BEHIND.label) in page
    assert "restore_copies" not in page, "there is no rule for copies"


def test_staff_see_which_copies_may_bring_something_back(
    ada: Any, closed: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.portal.quarantine.restore_commands", lambda: ["manage.py restore_copies 'At night'"])
    client.force_login(ada.user)
    assert "restore_copies" not in client.get("/").content.decode()
    type(ada.user).objects.filter(pk=ada.user.pk).update(is_staff=True)
    assert "<code>manage.py restore_copies &#x27;At night&#x27;</code>" in client.get("/").content.decode()


def test_the_site_opens_when_quarantine_is_lifted(closed: None, client: Client) -> None:
    assert client.get("/").status_code == 503
    quarantine.lift(actor=Actor.command_line())
    assert client.get("/").status_code == 200


def test_health_checks_tell_a_site_in_quarantine_from_one_that_is_down(closed: None, client: Client) -> None:
    assert client.get("/healthz").status_code == 200
    response = health.readyz(HttpRequest())
    assert response.status_code == 503
    assert json.loads(response.content)["quarantine"] == "log_behind"
