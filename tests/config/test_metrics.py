"""/metrics: for a supervisor with the token, or on this machine; numbers only."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.audit import services
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import AnchorState
from apps.keys.models import Installation
from apps.keys.services import installation
from apps.requests.models import Kind, PrivacyRequest, Status, Step

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

LINE = re.compile(r"(# (HELP|TYPE) .+|[a-z_]+(\{[a-z]+=\"[^\"\\]*\"(,[a-z]+=\"[^\"\\]*\")*\})? [0-9.e+-]+)")


def values(client: Client, **headers: str) -> dict[str, float]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200 and response["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.content.decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_numbers_of_the_log_of_anchors_and_of_work(client: Client, settings: Any) -> None:
    settings.ANCHORS = [
        {"KIND": "folder", "PLACE": "/share", "BACKEND": "", "OPTIONS": {}},
        {"KIND": "letter", "PLACE": "…@example.org", "BACKEND": "", "OPTIONS": {}},
    ]
    now = timezone.now()
    AnchorState.objects.create(name="folder /share", size=3, anchored_at=now, outcome="done", tried_at=now)
    before = values(client)
    with transaction.atomic():
        services.append(Event.SUBJECT_FROZEN, about="", actor=Actor.system())
    late = PrivacyRequest.objects.create(
        reference="R1", kind=Kind.ERASURE, regime="gdpr", status=Status.RUNNING, received_at=now,
        due_on=(now - timedelta(days=2)).date(), code_hash=b"",
    )  # fmt: skip
    Step.objects.create(request=late, phase=Step.Phase.PREPARE, order=0, state=Step.State.DONE)
    Step.objects.create(request=late, phase=Step.Phase.DESTROY, order=1, state=Step.State.BLOCKED)
    found = values(client)
    assert found["habeas_audit_unsequenced_entries"] == before["habeas_audit_unsequenced_entries"] + 1
    assert found["habeas_requests_overdue"] == before["habeas_requests_overdue"] + 1
    assert found['habeas_steps{state="blocked"}'] == before['habeas_steps{state="blocked"}'] + 1
    assert found['habeas_steps{state="pending"}'] == 0 and 'habeas_steps{state="done"}' not in found
    assert found["habeas_quarantine"] == 0
    assert (found["habeas_anchors"], found["habeas_anchors_wanted"]) == (2, settings.ANCHORS_WANTED)
    assert found['habeas_anchor_good{kind="folder",place="/share"}'] == 1
    assert found['habeas_anchor_good{kind="letter",place="…@example.org"}'] == 0
    assert found['habeas_anchor_success_timestamp_seconds{kind="folder",place="/share"}'] == pytest.approx(
        now.timestamp(), abs=1
    )


def test_keys_that_wait_for_a_person_are_counted(client: Client) -> None:
    assert values(client)["habeas_keys_waiting_for_person"] == 0
    installation()
    Installation.objects.update(waiting_keys=101)
    assert values(client)["habeas_keys_waiting_for_person"] == 101


def test_without_a_token_only_this_machine_may_ask(client: Client) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 404
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 404
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert client.get("/metrics", headers={header: "192.0.2.7"}).status_code == 404, header


def test_with_a_token_whoever_has_it_may_ask(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "t0ken"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 404
    good = {"Authorization": "Bearer t0ken"}
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7", headers=good).status_code == 200
    assert client.post("/metrics", headers=good).status_code == 405


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer", "Bearer secretx", "bearer secret", "Basic secret", "Bearer sécret"]
)
def test_a_token_is_compared_whole_whatever_is_sent(client: Client, settings: Any, given: str) -> None:
    settings.METRICS_TOKEN = "secret"
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404
