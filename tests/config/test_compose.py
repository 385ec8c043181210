"""docker-compose.yml, without Docker: its own commands and environment run on loopback against real servers."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from aiosmtpd.controller import Controller
from moto.server import ThreadedMotoServer

from tests.services import Postgres, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
VARIABLE = re.compile(r"\$\{(\w+):\?[^}]*\}")
PROCESSES = ("web", "worker", "schedule")
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def compose(**variables: str) -> dict[str, Any]:
    """Parse the file as Compose does: a variable that is not given is an error."""
    return yaml.safe_load(VARIABLE.sub(lambda found: variables[found[1]], TEXT))


def any_values() -> dict[str, str]:
    return dict.fromkeys(VARIABLE.findall(TEXT), "x")


class TestFile:
    def test_it_has_the_whole_deployment(self) -> None:
        services = compose(**any_values())["services"]
        assert {*PROCESSES, "migrate", "postgres", "redis", "s3"} <= set(services)

    def test_every_setting_is_one_that_the_site_reads(self) -> None:
        read = (ROOT / "config/settings.py").read_text() + "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"
        for name in compose(**any_values())["services"]["web"]["environment"]:
            assert f'"{name.removesuffix("_FILE")}"' in read or name in read.split(), name

    def test_our_processes_share_one_environment_and_no_secret_stands_in_the_file(self) -> None:
        services = compose(**any_values())["services"]
        for name in (*PROCESSES, "migrate"):
            assert services[name]["environment"] == services["web"]["environment"]
        assert "SECRET_KEY" not in services["web"]["environment"]
        for service in yaml.safe_load(TEXT)["services"].values():
            for name, value in service.get("environment", {}).items():
                assert not name.endswith(("PASSWORD", "SECRET_KEY")) or value.startswith("${"), name

    def test_what_is_named_is_declared(self) -> None:
        whole = compose(**any_values())
        for service in whole["services"].values():
            assert set(service.get("secrets", [])) <= set(whole["secrets"])
            assert {mount.partition(":")[0] for mount in service.get("volumes", [])} <= set(whole["volumes"])
            assert set(service.get("depends_on", {})) <= set(whole["services"])


class Deployment:
    """The processes of ours, run as the file says, with its host names replaced by loopback."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        inherited = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DATA_DIR": str(folder / "data"),
            "STATIC_ROOT": str(folder / "static"),
        }
        self.environment = inherited | environment
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, name: str, services: dict[str, Any]) -> list[str]:
        command = (
            services[name]["command"].replace("python ", f"{sys.executable} ").replace("/data/", f"{self.folder}/data/")
        )
        return shlex.split(command.replace("0.0.0.0", "127.0.0.1").replace("--port 8000", f"--port {self.port}"))  # noqa: S104

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    def start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> dict[str, int]:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=60) for name, process in self.running.items()}

    def get(self, path: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        forwarded = {"Host": "privacy.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        return urllib.request.urlopen(urllib.request.Request(url, data, forwarded | (headers or {})), timeout=20)


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.letters.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    ).create_bucket(Bucket="habeas")
    yield address
    server.stop()


@pytest.fixture
def deployment(
    tmp_path: Path, postgres: Postgres, redis: str, s3: str, mailbox: tuple[Mailbox, int]
) -> Iterator[Deployment]:
    values = any_values() | {
        "SITE_URL": "https://privacy.example.org",
        "PRIVACY_CONTACT": "dpo@example.org",
        "EMAIL_URL": f"smtp://127.0.0.1:{mailbox[1]}?tls=0",
        "ANCHORS": (tmp_path / "anchors").as_uri(),
    }
    (tmp_path / "anchors").mkdir()
    suffix = secrets.token_hex(4)
    postgres.create(f"records_{suffix}", f"keys_{suffix}")
    environment = compose(**values)["services"]["web"]["environment"]
    environment["DATABASE_URL"] = postgres.url(f"records_{suffix}")
    environment["KEYS_DATABASE_URL"] = postgres.url(f"keys_{suffix}")
    for name in ("CELERY_BROKER_URL", "CACHE_URL"):
        environment[name] = environment[name].replace("redis://redis:6379", redis)
    environment["STORAGE_URL"] = environment["STORAGE_URL"].replace("http://s3:9000", s3)
    for name in compose(**values)["secrets"]:
        (tmp_path / name).write_text(base64.b64encode(secrets.token_bytes(48 if name == "SECRET_KEY" else 32)).decode())
        environment[f"{name}_FILE"] = str(tmp_path / name)
    running = Deployment(tmp_path, environment)
    (tmp_path / "data").mkdir()
    yield running
    for process in running.running.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.services
def test_its_commands_run(deployment: Deployment, mailbox: tuple[Mailbox, int]) -> None:
    services = compose(**any_values())["services"]
    deployment.run(sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0")  # what the image does
    deployment.run(*deployment.command("migrate", services))
    for name in PROCESSES:
        deployment.start(name, deployment.command(name, services))
    wait_until_ready(deployment)
    assert deployment.get("/accounts/login/").status == 200
    ask_for_a_new_password(deployment)
    wait_for_letter(deployment, mailbox[0])
    stored = deployment.run(sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", STORE_AND_READ)
    assert stored.strip().endswith("sealed bytes")
    codes = deployment.stop()
    assert codes == {"web": 0, "worker": 0, "schedule": 0}


STORE_AND_READ = """
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
name = default_storage.save("trial", ContentFile(b"sealed bytes"))
print(default_storage.open(name).read().decode())
"""


def wait_until_ready(deployment: Deployment) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert deployment.get("/readyz").status == 200
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, (deployment.folder / "web.log").read_text()[-3000:]
            time.sleep(0.3)
        else:
            return


def ask_for_a_new_password(deployment: Deployment) -> None:
    page = deployment.get("/accounts/password/reset/")
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.read().decode())
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    assert token
    assert "Secure" in page.headers["Set-Cookie"]
    data = f"csrfmiddlewaretoken={token[1]}&email=nobody%40example.org".encode()
    headers = {"Cookie": cookie, "Referer": "https://privacy.example.org/accounts/password/reset/"}
    assert deployment.get("/accounts/password/reset/", data=data, headers=headers).status == 200


def wait_for_letter(deployment: Deployment, box: Mailbox) -> None:
    deadline = time.monotonic() + 45
    while not box.letters:
        assert time.monotonic() < deadline, (deployment.folder / "worker.log").read_text()[-3000:]
        time.sleep(0.3)
    assert box.letters[0].rcpt_tos == ["nobody@example.org"]
