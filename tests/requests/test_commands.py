"""The commands of the house, with their exit codes."""

import base64
import json
from argparse import Namespace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.audit.selectors import public_key_text
from apps.requests import engine
from apps.requests.management.commands import submit_request
from apps.requests.models import PrivacyRequest
from tests.requests.conftest import approved, events, filed, run
from verify import habeas_verify

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def working(monkeypatch):
    """A worker at hand: whenever the command waits, what is due is done."""
    monkeypatch.setattr(submit_request.time, "sleep", lambda seconds: engine.drain())


def submit(*arguments: str) -> tuple[int, dict, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("submit_request", *arguments, "--json", stdout=out, stderr=err)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue()), err.getvalue()


def test_filing_prints_reference_status_and_steps(ada, tmp_path):
    address = tmp_path / "address.txt"
    address.write_text("ada@example.org\n")
    code, printed, _ = submit("--subject", f"@{address}", "--kind", "access")
    assert (code, printed["status"], printed["steps"]) == (0, "verifying", [])
    assert PrivacyRequest.objects.get().reference == printed["reference"]
    code, printed, _ = submit("--subject", str(ada.pk), "--kind", "erasure", "--approve")
    assert (code, printed["status"]) == (0, "approved")
    assert len(printed["steps"]) == 6


@pytest.mark.slow
def test_waiting_ends_with_0_when_all_is_done(ada, place, working):
    place.put("ada@example.org", 1)
    code, printed, _ = submit("--subject", "ada@example.org", "--kind", "access", "--approve", "--wait")
    assert (code, printed["status"]) == (0, "completed")
    arguments = ("--subject", "ada@example.org", "--kind", "erasure", "--regime", "ccpa", "--approve", "--wait")
    code, printed, why = submit(*arguments)
    assert (code, printed["status"], "their copy" in why) == (3, "approved", True)


@pytest.mark.slow
def test_waiting_ends_with_4_when_only_blocked_places_are_left(ada, place, working):
    place.switch(blocked_until="2031-01-01")
    code, printed, why = submit("--subject", "ada@example.org", "--kind", "erasure", "--approve", "--wait")
    assert (code, printed["status"]) == (4, "partly_completed")
    assert "blocked" in why


def test_waiting_ends_with_4_when_a_place_does_not_answer(ada, place, working):
    place.switch(unavailable=True)
    code, printed, _ = submit("--subject", "ada@example.org", "--kind", "access", "--approve", "--wait")
    assert (code, printed["status"]) == (4, "running")


@pytest.mark.slow
def test_waiting_ends_with_3_when_a_person_is_wanting(ada, place, working):
    place.switch(refused=True)
    code, _, why = submit("--subject", "ada@example.org", "--kind", "access", "--approve", "--wait")
    assert (code, "person" in why) == (3, True)
    code, printed, _ = submit("--subject", "ada@example.org", "--kind", "access", "--wait")
    assert (code, printed["status"]) == (3, "verifying")


def test_waiting_ends_with_3_without_a_worker(ada, monkeypatch):
    monkeypatch.setattr(submit_request, "NO_WORKER_AFTER", 0.1)
    code, _, why = submit("--subject", "ada@example.org", "--kind", "access", "--approve", "--wait")
    assert (code, "no worker" in why) == (3, True)


def test_unknown_people_and_missing_leave_are_refused(ada, settings):
    with pytest.raises(CommandError, match="no such person"):
        submit("--subject", "nobody@example.org", "--kind", "access")
    with pytest.raises(CommandError, match="cannot read"):
        submit("--subject", "@/nonexistent", "--kind", "access")
    with pytest.raises(CommandError, match="say one of access"):
        submit("--subject", "ada@example.org", "--kind", "banana")
    with pytest.raises(CommandError, match="say one of ccpa"):
        submit("--subject", "ada@example.org", "--kind", "access", "--regime", "atlantis")
    settings.COMMAND_LINE_APPROVAL = False
    with pytest.raises(CommandError, match="COMMAND_LINE_APPROVAL"):
        submit("--subject", "ada@example.org", "--kind", "access", "--approve")
    assert PrivacyRequest.objects.count() == 0


@pytest.mark.slow
def test_an_archive_is_fetched_verified_and_its_delivery_logged(ada, place, tmp_path):
    place.put("ada@example.org", 2)
    request = run(filed(ada))
    output, out = tmp_path / "a.zip", StringIO()
    call_command("fetch_archive", request.reference, "--output", str(output), "--reason", "by post", stdout=out)
    call_command("verify_archive", str(output), stdout=out)
    assert "good" in out.getvalue()
    assert output.stat().st_mode & 0o077 == 0
    assert "archive.delivered" in events(request)
    changed = bytearray(output.read_bytes())
    changed[len(changed) // 2] ^= 1
    output.write_bytes(changed)
    with pytest.raises(CommandError, match="bad"):
        call_command("verify_archive", str(output))
    with pytest.raises(CommandError, match="empty"):
        call_command("fetch_archive", request.reference, "--output", str(output), "--reason", " ")
    with pytest.raises(CommandError, match="no such request"):
        call_command("fetch_archive", "HB-2222-2222", "--output", str(output), "--reason", "x")


def test_a_receipt_is_fetched_and_verified_and_a_changed_one_is_bad(ada, place, tmp_path):
    place.put("ada@example.org", 2)
    request = run(approved(ada))
    output, out = tmp_path / "receipt.tlog-proof", StringIO()
    call_command("fetch_receipt", request.reference, "--output", str(output), stdout=out)
    call_command("verify_receipt", str(output), stdout=out)
    assert f"of {request.reference}" in out.getvalue()
    text = output.read_text()
    for changed in (text.replace("extra ", "extra A", 1), text[:-20], text.replace("index ", "index 1", 1), ""):
        output.write_text(changed)
        with pytest.raises(CommandError, match="bad"):
            call_command("verify_receipt", str(output))
    with pytest.raises(CommandError, match="no receipt"):
        call_command("fetch_receipt", filed_by_somebody().reference, "--output", str(output))


def filed_by_somebody() -> PrivacyRequest:
    from tests.requests.conftest import person

    return filed(person("eve@example.org"))


@pytest.mark.slow
def test_a_rectification_and_a_restriction_are_filed_with_what_they_are_about(ada, tmp_path, working):
    words = tmp_path / "wrong.txt"
    words.write_text("It says Adda.\n")
    arguments = ("--subject", "ada@example.org", "--kind", "rectification", "--right", "Ada")
    code, printed, _ = submit(*arguments, "--wrong", f"@{words}", "--approve", "--wait")
    assert (code, printed["status"]) == (3, "partly_completed")  # done by hand everywhere: nobody said what where
    assert {step["reason"] for step in printed["steps"] if step["place"]} == {"by_hand"}
    wanted = ("--subject", "ada@example.org", "--kind", "restriction", "--what", "All.", "--approve", "--wait")
    code, printed, _ = submit(*wanted, "--ground", "accuracy")
    assert (code, printed["status"]) == (0, "completed")
    for wrong in ((), ("--ground", "because"), ("--ground", "accuracy", "--regime", "ccpa")):
        with pytest.raises(CommandError):
            submit(*wanted, *wrong)
    with pytest.raises(CommandError):
        submit("--subject", "ada@example.org", "--kind", "rectification")


@pytest.mark.parametrize("kind", ["rectification", "restriction"])
def test_both_verifiers_take_the_receipt_and_refuse_a_changed_one(ada, tmp_path, working, kind):
    texts = ("--wrong", "x", "--right", "y", "--what", "All.", "--ground", "accuracy")
    _, printed, _ = submit("--subject", "ada@example.org", "--kind", kind, *texts, "--approve", "--wait")
    path, key = tmp_path / "receipt.tlog-proof", tmp_path / "log.key"
    call_command("fetch_receipt", printed["reference"], "--output", str(path))
    key.write_text(public_key_text())
    act = {"rectification": "rectified", "restriction": "restricted"}[kind]
    out = StringIO()
    call_command("verify_receipt", str(path), stdout=out)
    assert f"; {act} at 20" in out.getvalue()
    keys = habeas_verify.read_keys([str(key)])
    assert f"({act} at 20" in habeas_verify.check_receipt(path, keys, Namespace())
    extra = path.read_text().splitlines()[1].removeprefix("extra ")
    held = json.loads(base64.b64decode(extra))
    held["body"] = held["body"].replace('"changed":', '"changed":1')
    changed = base64.b64encode(json.dumps(held).encode()).decode()
    path.write_text(path.read_text().replace(extra, changed))
    with pytest.raises(CommandError):
        call_command("verify_receipt", str(path))
    with pytest.raises(habeas_verify.Bad):
        habeas_verify.check_receipt(path, keys, Namespace())
