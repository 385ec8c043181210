"""Faults with real processes: everything killed in the middle, no schedule, a place that is down and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from playwright.sync_api import Browser

from bench.samples import write
from tests.journeys.people import Person
from tests.journeys.site import Site, free_port

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


@pytest.fixture
def bucket() -> Iterator[dict[str, Any]]:
    """A bucket whose server can be stopped and started again with what it holds (moto keeps it in this process)."""
    port = free_port()
    servers = [ThreadedMotoServer(ip_address="127.0.0.1", port=port)]
    servers[0].start()
    address = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="support")
    client.put_object(Bucket="support", Key="tickets/ada@sample.example/1.txt", Body=b"a ticket of Ada")
    client.put_object(Bucket="support", Key="tickets/ben@sample.example/1.txt", Body=b"a ticket of Ben")

    def start_again() -> None:
        servers.append(ThreadedMotoServer(ip_address="127.0.0.1", port=port))
        servers[-1].start()

    yield {"address": address, "client": client, "stop": lambda: servers[-1].stop(), "start": start_again}
    servers[-1].stop()


@pytest.mark.browser
def test_a_bucket_added_in_the_admin_takes_part_and_is_waited_for_while_it_is_down(
    site: Site, browser: Browser, bucket: dict[str, Any], tmp_path: Path
) -> None:
    root = Person.sit_down(site, browser, "root")
    root.sign_in(then="/admin/")
    root.go("/admin/locations/location/add/?kind=s3")
    fields = {
        "Name": "Support files", "Bucket": "support", "Address": bucket["address"], "Access key": "k", "Secret key": "s",
        "Where a person": "tickets/{email}/",
    }  # fmt: skip
    for label, value in fields.items():
        root.page.get_by_label(label).first.fill(value)
    root.page.locator("[name=search-kind]").fill("email")
    root.page.locator("[name=search-value]").fill("ada@sample.example")
    root.press("Count what it finds")
    root.sees("1 found")
    root.press("Save this place")  # the secret is kept until then
    root.sees("Saved.")

    access = file_request(site, "ada@sample.example", "access")
    wait_for(site, access, "completed")
    archive = tmp_path / "archive.zip"
    site.manage("fetch_archive", access, "--output", str(archive), "--reason", "test")
    assert b"places/s3-" in archive.read_bytes()

    bucket["stop"]()
    erasure = file_request(site, "ada@sample.example", "erasure")
    # Own rows wait for no outside place; for a day the request waits for it before it says "partly".
    found = wait_for(site, erasure, "running", steps={"purge s3": "blocked", "purge records": "done"})
    assert found["steps"]["purge s3"][1] == "unreachable"
    bucket["start"]()
    wait_for(site, erasure, "completed")
    keys = [found["Key"] for found in bucket["client"].list_objects_v2(Bucket="support").get("Contents", [])]
    assert keys == ["tickets/ben@sample.example/1.txt"]
