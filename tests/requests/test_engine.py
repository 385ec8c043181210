"""Claims, leases, workers: once each, whoever does it, and again after whoever died."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.audit.models import Entry
from apps.locations.contract import Entry as ArchiveEntry
from apps.locations.contract import Identity, Progress, Scope
from apps.requests import access, claims, engine, erasure, heartbeat, worker
from apps.requests.errors import LostClaim
from apps.requests.models import Status, Step
from apps.requests.schedule import due_requests, free_lost_steps
from apps.requests.services import withdraw_request
from apps.requests.workers import STOPPING, is_gone, me
from tests.requests.conftest import approved, as_person, filed, person, run, step_at, taken, there
from tests.requests.fakes import FakeConnector

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
SWEEP = Path(__file__).parent / "kill_sweep.py"


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["access", "erasure", "rectification", "restriction"])
def test_killed_at_any_effect_the_work_ends_once_and_whole_after_a_restart(kind):
    stride = os.environ.get("KILL_SWEEP_STRIDE", "11")  # 1: every single effect, some minutes
    ran = subprocess.run([sys.executable, str(SWEEP), kind, stride], capture_output=True, text=True, check=False)
    result: dict[str, Any] = (
        json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {"failures": ran.stderr[-2000:], "effects": 0}
    )
    assert result["failures"] == {}
    assert result["effects"] > (30 if kind in ("access", "erasure") else 20)


@pytest.mark.thorough
def test_two_workers_at_once_do_every_step_once(own_places, place):
    requests = []
    for name in ("ada", "ben", "eve"):
        place.put(f"{name}@example.org", 2)
        requests.append(approved(person(f"{name}@example.org")))
    place.switch(slow=0.02)

    def work() -> None:
        try:
            for _ in range(40):
                engine.drain()
                time.sleep(0.01)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for request in requests:
        request = run(request)
        assert request.status == Status.COMPLETED
        events = list(Entry.objects.filter(about=request.handle).values_list("event", flat=True))
        assert events.count("step.done") == request.steps.count()
        assert events.count("receipt.issued") == events.count("keys.intended") == 1
        assert step_at(request, "Support desk").done_count == 2


@pytest.mark.parametrize("kind", ["access", "erasure"])
def test_a_place_without_end_keeps_nobody_elses_request_waiting(own_places, place, monkeypatch, kind):
    now, most = [0.0], 100
    for module in (erasure, access):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(claims, "PAUSE_AFTER_TURN", timedelta(hours=1))
    erase, export = FakeConnector.erase, FakeConnector.export

    def numbers(after: str) -> Iterator[str]:
        for number in range(int(after or 0) + 1, most):
            now[0] += 61  # each takes a minute
            yield str(number)

    def erase_without_end(self: Any, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        is_adas = "ada@example.org" in who.of_kind("email")
        return (Progress(1, number) for number in numbers(cursor)) if is_adas else erase(self, who, scope, cursor)

    def export_without_end(self: Any, who: Identity, scope: Scope, cursor: str) -> Iterator[Any]:
        if "ada@example.org" not in who.of_kind("email"):
            return export(self, who, scope, cursor)
        return (ArchiveEntry(f"{number}.txt", "text/plain", (b"x",), number) for number in numbers(cursor))

    monkeypatch.setattr(FakeConnector, "erase", erase_without_end)
    monkeypatch.setattr(FakeConnector, "export", export_without_end)
    place.put("ben@example.org", 2)
    hers, his = approved(person("ada@example.org"), kind), approved(person("ben@example.org"), kind)
    while engine.drain():
        pass
    his.refresh_from_db()
    assert his.status == Status.COMPLETED
    step = step_at(hers, "Support desk")
    assert (step.state, step.reason, step.attempts, step.done_count) == ("pending", "", 0, 1)
    Step.objects.filter(pk=step.pk).update(next_try_at=timezone.now())
    assert engine.drain() == 1
    assert step_at(hers, "Support desk").done_count == 2  # it goes on where it was


def test_a_lease_is_renewed_while_the_work_goes_on(ada, place, settings, monkeypatch):
    settings.STEP_LEASE_SECONDS = 1
    place.put("ada@example.org", 1)
    request = filed(ada)
    claim = taken(request)
    with heartbeat.Heartbeat(claim):
        time.sleep(1.5)
        assert there(Step.objects.get(pk=claim.step.pk).lease_until) > timezone.now()
    claims.release(claim)
    assert Step.objects.get(pk=claim.step.pk).state == "pending"


def test_a_lease_is_not_renewed_for_ever(ada, settings):
    settings.STEP_LEASE_SECONDS, settings.CELERY_TASK_TIME_LIMIT = 0.2, 0
    claim = taken(filed(ada))
    with heartbeat.Heartbeat(claim):
        time.sleep(0.5)
        assert there(Step.objects.get(pk=claim.step.pk).lease_until) < timezone.now()


def test_the_lease_of_a_dead_process_of_this_machine_ends_at_once(ada):
    request = filed(ada)
    claim = taken(request)
    assert free_lost_steps() == 0  # this process lives
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    place_and_space = me().split(" ")[0]
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()[19]
    name = f"{place_and_space} {child.pid} {started}"
    Step.objects.filter(pk=claim.step.pk).update(worker=name)
    assert not is_gone(name)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert is_gone(name)
    assert free_lost_steps() == 1
    assert taken(request).token != claim.token
    with pytest.raises(LostClaim):
        claims.done(claim)


def test_a_process_that_cannot_be_judged_counts_as_alive():
    for name in ("", "elsewhere/x 1 2", "nonsense", f"{me().split(' ')[0]} {os.getpid()} ?"):
        assert not is_gone(name)


def test_attempts_count_from_the_last_commit(ada, place, settings):
    place.put("ada@example.org", 1)
    request = filed(ada)
    for _ in range(claims.MOST_ATTEMPTS):
        claim = taken(request)
        with claims.progress(claim, "on the way"):
            pass
        Step.objects.filter(pk=claim.step.pk).update(lease_until=timezone.now())  # the worker dies
    assert claims.claim_next(request.pk, engine.GUARDS) is not None
    step = Step.objects.get(pk=claim.step.pk)
    assert step.attempts == 1
    for _ in range(claims.MOST_ATTEMPTS):
        Step.objects.filter(pk=claim.step.pk).update(lease_until=timezone.now())
        claims.claim_next(request.pk, engine.GUARDS)
    assert Step.objects.get(pk=claim.step.pk).state == "needs_person"


@pytest.mark.slow
def test_nothing_is_sent_before_the_commit(ada, monkeypatch, django_capture_on_commit_callbacks):
    sent: list[Any] = []
    monkeypatch.setattr(engine, "_send", sent.append)
    request = filed(ada)
    assert sent == [request.pk]  # automatic approval, committed
    assert engine.reconcile() == 1
    run(request)
    assert engine.reconcile() == 0


def test_a_withdrawn_request_is_not_due(ada):
    request = approved(ada)
    assert list(due_requests(timezone.now())) == [request.pk]
    withdraw_request(request, actor=as_person(ada))
    assert list(due_requests(timezone.now())) == []


@pytest.mark.thorough
def test_the_lookout_of_a_worker_finishes_an_erasure_without_any_message(ada, place, monkeypatch):
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(engine, "_send", lambda request_id: None)
    place.put("ada@example.org", 1)
    request = approved(ada)
    worker.start()
    worker.start()  # once in a process
    try:
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at and request.status != Status.COMPLETED:
            time.sleep(0.1)
            request.refresh_from_db()
    finally:
        worker.stop()
    assert request.status == Status.COMPLETED
    assert STOPPING.is_set()


def test_pauses_double_and_stay_within_an_hour():
    assert claims.pause_after(timedelta(0)) == timedelta(seconds=30)
    assert claims.pause_after(timedelta(minutes=7)) == timedelta(minutes=7)
    assert claims.pause_after(timedelta(days=3)) == timedelta(hours=1)
