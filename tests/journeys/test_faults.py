"""Faults with real processes: everything killed in the middle, and no schedule. (A place that is down: test_adding.py.)"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bench.samples import write
from tests.journeys.site import Site

pytestmark = pytest.mark.thorough
MESSAGES = 4_000


def file_request(site: Site, email: str, kind: str) -> str:
    filed = json.loads(site.manage("submit_request", "--subject", email, "--kind", kind, "--approve", "--json"))
    return str(filed["reference"])


def wait_for(
    site: Site, reference: str, wanted: str, *, steps: dict[str, str] | None = None, seconds: float = 240
) -> dict[str, Any]:
    """Ask the database, as a person reloads the page, until the request and these steps are in these states."""
    ask = (
        "import json; from apps.requests.models import PrivacyRequest as P; "
        f"r = P.objects.get(reference='{reference}'); "
        "print(json.dumps({'status': r.status, 'steps': {f'{s.phase} {s.location.kind if s.location else \"\"}'.strip(): "
        "[s.state, s.reason, s.done_count] for s in r.steps.select_related('location')}}))"
    )
    ends_at = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = json.loads(site.manage("shell", "--no-imports", "-c", ask).strip().splitlines()[-1])
        reached = all(found["steps"][step][0] == state for step, state in (steps or {}).items())
        if found["status"] == wanted and reached:
            return found
        assert time.monotonic() < ends_at, found
        time.sleep(0.5)


def test_everything_killed_in_the_middle_finishes_after_a_restart_without_the_schedule(
    site: Site, tmp_path: Path
) -> None:
    write("chatgpt", tmp_path / "large.json", MESSAGES)
    site.manage("import_conversations", str(tmp_path / "large.json"), "--subject", "ada@sample.example")
    site.kill("schedule")
    for kind in ("access", "erasure"):
        reference = file_request(site, "ada@sample.example", kind)
        for _kill in range(3):
            time.sleep(1.2)
            site.kill()
            site.start("web", "worker")
        wait_for(site, reference, "completed")
        target = tmp_path / kind
        if kind == "access":
            site.manage("fetch_archive", reference, "--output", str(target), "--reason", "test")
            assert site.manage("verify_archive", str(target)).startswith("good")
        else:
            site.manage("fetch_receipt", reference, "--output", str(target))
            assert site.manage("verify_receipt", str(target)).startswith("good")
    site.manage("verify_audit_log")
    queue = site.data / "broker" / "queue"
    assert not list(queue.iterdir()), "no message is left over"
