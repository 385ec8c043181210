"""The real worker, as a process of its own: no schedule, no message, killed in the middle, started again."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import databases

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 90.0  # seconds: a worker starts, looks every two seconds, and the work is small

PREPARE = """
import django; django.setup()
from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.records import services as records
from apps.records.importers import read
from apps.records.subjects import create_subject
from pathlib import Path
account = User.objects.create_user("ada@example.org", "a good password")
ada = create_subject(account, emails=["ada@example.org"])
records.store_conversations(ada, read(Path({path!r})), actor=Actor.system())
"""
UPLOAD = """
import django; django.setup()
from apps.audit.actors import Actor
from apps.records import services as records
from apps.records.models import Import
from apps.records.subjects import create_subject
from datetime import timedelta
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from pathlib import Path
ben = create_subject(None, emails=["ben@example.org"])
upload = SimpleUploadedFile("talk.jsonl", Path({path!r}).read_bytes().splitlines()[0])
started = records.start_import(ben, upload, actor=Actor.system())
Import.objects.filter(pk=started.pk).update(created_at=timezone.now() - timedelta(minutes=1))
"""
STATE = """
import django; django.setup()
import json, sys
from apps.requests.models import PrivacyRequest
from apps.records.models import Conversation, Import, Message, Subject
for _asked in sys.stdin:
    imports = list(Import.objects.values_list("state", flat=True))  # first: what is counted below is then at least as new
    request = PrivacyRequest.objects.get(kind="erasure")
    steps = {step.location.kind if step.location else step.phase: step.state for step in request.steps.all()}
    ben = Subject.objects.filter(imports__isnull=False)
    others = {"conversation__subject__in": ben}
    rows = Conversation.objects.exclude(subject__in=ben).count() + Message.objects.exclude(**others).count()
    rows += Subject.objects.exclude(pk__in=ben).count()
    print(json.dumps({
        "status": request.status, "steps": steps, "rows": rows, "receipts": request.receipts.count(),
        "imported": Message.objects.filter(**others).count(), "imports": imports,
    }), flush=True)
"""


@pytest.fixture
def site(tmp_path: Path, django_db_setup: None) -> Iterator[dict[str, str]]:
    """The environment of a site of its own: SQLite, a broker of files, no beat."""
    secret = {
        name: base64.b64encode(name[:1].encode() * 32).decode() for name in ("LOG_SIGNING_KEY", "ARCHIVE_SIGNING_KEY")
    }
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    env |= secret | {
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": "x" * 60,
        "COMMAND_LINE_APPROVAL": "on",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(ROOT),
    }
    (tmp_path / "data" / "keys").mkdir(parents=True)
    for database, file in (("default", "records.sqlite3"), ("keys", "keys/keys.sqlite3")):
        shutil.copyfile(databases.template() / database, tmp_path / "data" / file)
    yield env


def run(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def manage(env: dict[str, str], *arguments: str) -> str:
    return run(env, "manage.py", *arguments)


@pytest.fixture
def state(site: dict[str, str]) -> Iterator[Callable[[], dict]]:
    """A process that says how things stand, as often as it is asked."""
    command = [sys.executable, "-c", STATE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=site, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as asked:
        assert asked.stdin is not None
        assert asked.stdout is not None
        questions, answers = asked.stdin, asked.stdout

        def ask() -> dict:
            print(file=questions, flush=True)
            return json.loads(answers.readline())

        yield ask
        questions.close()


def start_worker(env: dict[str, str], pool: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool", pool, "--concurrency", "2"]
    log = (Path(env["DATA_DIR"]) / "worker.log").open("ab")
    return subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def stop(worker: "subprocess.Popen[bytes]") -> None:
    """Kill a worker and its children, as a power cut does."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def forget_messages(env: dict[str, str]) -> None:
    for message in (Path(env["DATA_DIR"]) / "broker" / "queue").glob("*"):
        message.unlink()


def talk(number: int) -> list[dict[str, str]]:
    """A conversation of 300 messages, unlike the others."""
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": f"talk {number}, {place}: " + "words " * 40} for place in range(300)]


@pytest.mark.thorough
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_an_erasure_and_an_import_end_without_schedule_and_messages_and_after_a_kill(site, tmp_path, state, pool):
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(json.dumps({"messages": talk(number)}) for number in range(20)))
    run(site, "-c", PREPARE.format(path=str(path)))
    manage(site, "submit_request", "--subject", "ada@example.org", "--kind", "erasure", "--approve")
    forget_messages(site)
    assert state()["rows"] > 6000

    worker = start_worker(site, pool)
    try:
        wait_until(site, state, lambda now: now["steps"]["prepare"] == "done")
    finally:
        stop(worker)
    run(site, "-c", UPLOAD.format(path=str(path)))
    forget_messages(site)
    worker = start_worker(site, pool)
    try:
        ended = wait_until(site, state, lambda now: now["status"] == "completed" and now["imports"] == ["done"])
    finally:
        stop(worker)
    assert (ended["rows"], ended["receipts"], set(ended["steps"].values())) == (0, 1, {"done"})
    assert ended["imported"] == 300


def wait_until(env, state, is_so) -> dict:
    ends_at = time.monotonic() + PATIENCE
    now: dict = {}
    while time.monotonic() < ends_at:
        now = state()
        if is_so(now):
            return now
        time.sleep(0.2)
    log = (Path(env["DATA_DIR"]) / "worker.log").read_text()
    raise AssertionError(f"{now}\n{log[-2000:]}")
