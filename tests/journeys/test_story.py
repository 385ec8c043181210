"""The whole story over HTTP, in a browser: in, read, copy, verify, erase, prove, and look everywhere."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser

from tests.ceph import Gateway
from tests.journeys.people import WORDS, Person, chatgpt_export
from tests.journeys.site import ROOT, Site, running
from tests.services import Postgres

pytestmark = [pytest.mark.browser, pytest.mark.thorough]
VERIFIER = ROOT / "verify" / "habeas_verify.py"
END_OF_RETENTION = """
from datetime import date
from apps.requests import upkeep
from apps.requests.models import PrivacyRequest
PrivacyRequest.objects.update(retain_until=date(2020, 1, 1))
upkeep.nightly()
"""
KEPT = ("opened:request HB", "opened:receipt HB", "opened:request message HB")  # under the request key, as declared


def scan(site: Site, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.journeys.scan", *arguments],
        cwd=ROOT, env=site.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def verify(kind: str, path: Path, key: str) -> int:
    """Run the standalone verifier with nothing of Habeas on its path."""
    command = [sys.executable, "-I", str(VERIFIER), kind, str(path), "--key", key]
    return subprocess.run(command, cwd=path.parent, capture_output=True, check=False).returncode


def download_in_two_parts(site: Site, page: Any, path: str, target: Path) -> None:
    """Break the transfer off in the middle and go on with Range, as a browser or curl does."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())

    def fetch(headers: dict[str, str], most: int | None = None) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Cookie": cookies, **headers})
            answer = connection.getresponse()
            return answer.status, str(answer.headers["ETag"]), answer.read(most)

    status, tag, first = fetch({}, 1000)
    assert status == 200
    status, _tag, rest = fetch({"Range": "bytes=1000-", "If-Range": tag})
    assert status == 206
    target.write_bytes(first + rest)


def approve_as_staff(site: Site, browser: Browser, name: str, reference: str) -> None:
    officer = Person.sit_down(site, browser, name)
    officer.sign_in(then="/admin/")
    officer.approve(reference)


@pytest.mark.parametrize("site", [{"AUTOMATIC_ACCESS_APPROVAL": "off"}], indirect=True)
def test_the_whole_story_on_one_machine(site: Site, browser: Browser, tmp_path: Path) -> None:
    tell_the_story(site, browser, tmp_path)


@pytest.mark.services
def test_the_whole_story_with_postgresql_redis_and_a_versioned_bucket(
    browser: Browser, tmp_path: Path, postgres: Postgres, redis: str, ceph_gateway: Gateway
) -> None:
    bucket = "habeas-journey"
    keys = {"aws_access_key_id": ceph_gateway.access_key, "aws_secret_access_key": ceph_gateway.secret_key}
    client = boto3.client("s3", endpoint_url=ceph_gateway.endpoint_url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    postgres.create("journey_records", "journey_keys")
    services = {
        "AUTOMATIC_ACCESS_APPROVAL": "off",
        "DATABASE_URL": postgres.url("journey_records"),
        "KEYS_DATABASE_URL": postgres.url("journey_keys"),
        "CELERY_BROKER_URL": f"{redis}/0",
        "CACHE_URL": f"{redis}/1",
        "STORAGE_URL": f"s3://{bucket}?endpoint_url={ceph_gateway.endpoint_url}&region_name=us-east-1",
        "AWS_ACCESS_KEY_ID": ceph_gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": ceph_gateway.secret_key,
    }
    (tmp_path / "site").mkdir()
    with running(Site(tmp_path / "site", services)) as site:
        site.manage("make_sample_people")
        tell_the_story(site, browser, tmp_path)
    left = client.list_object_versions(Bucket=bucket)
    assert {found["Key"].split("/")[0] for found in left.get("Versions", [])} <= {"attachments"}, "only Ben's"
    assert not left.get("DeleteMarkers")


def tell_the_story(site: Site, browser: Browser, tmp_path: Path) -> None:
    log_key, archive_key = keys_of(site)
    ada = Person.sit_down(site, browser, "ada", user_agent=f"Mozilla/5.0 {WORDS['user agent']}")
    ada.sign_in()
    people = scan(site, "people")
    me, ben = people["ada@sample.example"], people["ben@sample.example"]
    bens_rows = scan(site, "fingerprint", ben)

    # in
    ada.page.goto("/conversations/import/")
    ada.page.locator("input[type=file]").set_input_files(chatgpt_export(tmp_path / "export.zip"))
    ada.press("Read it in")
    ada.sees_before_long("Your conversations are here")
    ada.page.goto("/conversations/")
    ada.page.get_by_role("link", name=WORDS["title"]).click()
    ada.sees(WORDS["message"])

    ada.page.goto("/conversations/")
    ada.page.get_by_label("Words in a title or message").fill(WORDS["search words"])
    ada.press("Search")

    # a copy
    access, _code = ada.file_request("access", note=WORDS["note"])
    ada.page.goto(f"/requests/{access}/")
    ada.page.get_by_label("Write to the privacy team").fill(WORDS["request message"])
    ada.press("Send message")
    approve_as_staff(site, browser, "cleo", access)
    ada.go(f"/requests/{access}/")
    ada.sees_before_long("Download")
    archive = tmp_path / "archive.zip"
    ada.go(f"/requests/{access}/")
    download_in_two_parts(site, ada.page, f"/requests/{access}/download/", archive)
    assert verify("archive", archive, archive_key) == 0
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.zip").write_bytes(damaged)
    assert verify("archive", tmp_path / "damaged.zip", archive_key) == 1

    # before the erasure the scan sees every word, and every row
    before = scan(site, "words", str(site.data), *WORDS.values(), ada.email)
    assert not before[WORDS["search words"]], "what was searched for is kept nowhere"
    for what in ("message", "title", "file name", "attachment", "note", "user agent", "request message"):
        assert before[WORDS[what]], f"the scan does not see the {what}"
    assert all(count > 0 for name, count in scan(site, "rows", me).items() if name not in {"second factors"})

    ada.page.goto("/privacy/")
    ada.picture("privacy")

    # gone
    erasure, code = ada.file_request("erasure")
    approve_as_staff(site, browser, "cleo", erasure)
    approve_as_staff(site, browser, "dan", erasure)
    stranger = Person.sit_down(site, browser, "nobody")
    stranger.page.goto("/requests/find/")
    stranger.page.get_by_label("Your reference").fill(erasure)
    stranger.page.get_by_label("Your receipt code").fill(code)
    stranger.press("Open the request")
    stranger.sees_before_long("Complete")
    stranger.page.goto(f"/requests/{erasure}/receipt/")
    stranger.picture("receipt")
    with stranger.page.expect_download() as proof:
        stranger.page.get_by_role("link", name="Download the proof").first.click()
    proof.value.save_as(tmp_path / "receipt.tlog-proof")
    assert verify("receipt", tmp_path / "receipt.tlog-proof", log_key) == 0

    after = scan(site, "words", str(site.folder), *WORDS.values(), ada.email)
    left = {word: [place for place in places if not place.startswith(KEPT)] for word, places in after.items()}
    left[ada.email].remove("raw:data/sample-people.txt")
    assert not any(left.values()), left
    for word in (ada.email, WORDS["note"], WORDS["request message"]):
        assert any(place.startswith(KEPT) for place in after[word]), f"the scan does not open the record with {word}"
    assert not any(scan(site, "rows", me).values())
    assert scan(site, "fingerprint", ben) == bens_rows

    # the record of the request ends, too
    site.manage("shell", "-c", END_OF_RETENTION)
    assert not any(scan(site, "words", str(site.folder), *WORDS.values()).values())
    assert scan(site, "words", str(site.folder), ada.email)[ada.email] == ["raw:data/sample-people.txt"]


def keys_of(site: Site) -> tuple[str, str]:
    """Return the public keys of log and archives, as an auditor gets them."""
    lines = dict(line.split(maxsplit=1) for line in site.manage("audit_log_key").splitlines() if line.strip())
    return lines["log"], lines["archives"]
