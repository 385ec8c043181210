"""A whole site as it is deployed: web server, worker and schedule as processes of their own, in a folder of their own."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """Starts and stops the processes of one site. `environment` overrides what a single machine would use."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def random_key() -> str:
            return base64.b64encode(secrets.token_bytes(32)).decode()

        settings = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "LOG_SIGNING_KEY": random_key(),
            "ARCHIVE_SIGNING_KEY": random_key(),
            "SITE_URL": self.address,
            "SAMPLE_SITE": "on",
            "COMMAND_LINE_APPROVAL": "on",
            "ERASURE_COOLING_OFF_DAYS": "0",
            "STATIC_ROOT": str(self.folder / "static"),
            "PYTHONUNBUFFERED": "1",
        }
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = inherited | settings | self.environment
        (self.folder / "data" / "keys").mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def manage(self, *arguments: str, code: int | None = 0, timeout: float = 180) -> str:
        """Run a command of manage.py and return what it prints; fails on another exit code than `code`."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"{arguments} ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-3000:]}"
            )
        return done.stdout

    def set_up(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("migrate", "--database", "keys", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")

    def start(self, *names: str) -> None:
        """Start the processes named (all by default) and wait until the server answers."""
        commands = {
            "web": ["-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(self.port),
                    "--no-access-log", "--log-level", "warning"],
            "worker": ["-m", "celery", "-A", "config", "worker", "--concurrency", "2", "--loglevel", "INFO",
                       "--without-gossip", "--without-mingle"],
            "schedule": ["-m", "celery", "-A", "config", "beat", "--loglevel", "WARNING",
                         "--schedule", str(self.data / "celerybeat-schedule"), "--pidfile="],
        }  # fmt: skip
        for name in names or tuple(commands):
            with (self.folder / "logs" / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, *commands[name]], cwd=ROOT, env=self.environment, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
        if "web" in self.processes:
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return
            time.sleep(0.2)
        raise AssertionError(f"the server does not answer: {self.log('web')[-3000:]}")

    def kill(self, *names: str) -> None:
        """kill -9 the processes named (all by default), children included."""
        for name in names or tuple(self.processes):
            process = self.processes.pop(name, None)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def running(site: Site) -> Iterator[Site]:
    site.set_up()
    try:
        site.start()
        yield site
    finally:
        site.kill()
