"""`make run`: one process that sets up what is missing, then keeps a web server, a worker and a schedule running.

    python -m config.run [--port 8000]

It serves on 127.0.0.1 only. One Ctrl-C stops all three; one that dies is started again.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType

from config import installing

PATIENCE = 20  # seconds that a process gets to finish what it does; a step cut off here is taken up again
READY_WITHIN = 60
QUICK_DEATH = 10  # seconds: who lives shorter waits longer before the next start
LONGEST_PAUSE = 30
PR_SET_PDEATHSIG = 1  # Linux prctl(2)


def say(text: str = "") -> None:
    print(text, flush=True)


class Child:
    """One of the three processes, its log, and when it may be started again."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name, self.arguments, self.log = name, arguments, log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_again_at = 0.0
        self.pause = 1

    def start(self) -> None:
        if self.name == "worker":
            drop_torn_messages(self.log.parent.parent / "broker" / "queue")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=installing.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the others in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self.started_at = time.monotonic()

    def look_after(self) -> None:
        """Start it again if it died, after a pause that grows while it dies quickly."""
        if self.process is None:
            if time.monotonic() >= self.start_again_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        lived = time.monotonic() - self.started_at
        self.pause = min(self.pause * 2, LONGEST_PAUSE) if lived < QUICK_DEATH else 1
        self.start_again_at = time.monotonic() + self.pause
        self.process = None
        say(f"The {self.name} ended ({_in_words(code)}). It starts again in {self.pause} s. Its log: {self.log}")

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # the worker's own children too
            self.process.wait()


def drop_torn_messages(queue: Path) -> None:
    """Delete what a full disk left of messages: each would end the worker that reads it. The schedule makes them again."""
    for path in queue.glob("*.msg"):
        with contextlib.suppress(FileNotFoundError):  # taken meanwhile
            if time.time() - path.stat().st_mtime < QUICK_DEATH:
                continue  # perhaps it is being written
            try:
                json.loads(path.read_bytes())
            except ValueError:
                path.unlink()


def children(port: int, folder: Path) -> list[Child]:
    logs = folder / "log"
    logs.mkdir(exist_ok=True)
    uvicorn = ["-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    celery = ["-m", "celery", "--quiet", "--app", "config"]
    commands = {
        "web": [
            *uvicorn,
            "--no-access-log",
            "--log-level",
            "warning",
            "--lifespan",
            "off",
            "--no-proxy-headers",  # nothing stands in front: what a reader says of their address is not believed
            "--timeout-graceful-shutdown",
            "5",
        ],
        "worker": [
            *celery,
            "worker",
            "--concurrency",
            "2",
            "--loglevel",
            "INFO",
            "--without-gossip",
            "--without-mingle",
        ],
        "schedule": [
            *celery,
            "beat",
            "--loglevel",
            "WARNING",
            "--schedule",
            str(folder / "celerybeat-schedule"),
            "--pidfile=",
        ],
    }
    for name in commands:
        (logs / f"{name}.log").unlink(missing_ok=True)  # one run, one log
    return [Child(name, arguments, logs / f"{name}.log") for name, arguments in commands.items()]


def serve(port: int, folder: Path) -> int:
    """Keep the three running until somebody asks to stop; 0, or 1 when the server never answered."""
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    family = children(port, folder)
    for child in family:
        child.start()
    ready = _wait_until_ready(port, family[0], stopping)
    if ready:
        say(welcome(port, folder))
        while not stopping:
            time.sleep(0.5)
            for child in family:
                child.look_after()
    elif not stopping:
        say(f"The web server did not answer within {READY_WITHIN} s. Its log says:")
        say(_last_lines(family[0].log))
    _stop_all(family, stopping)
    return 0 if ready or stopping else 1


def _wait_until_ready(port: int, web: Child, stopping: list[int]) -> bool:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and web.is_running() and not stopping:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2):
            return True
        time.sleep(0.2)
    return False


def _stop_all(family: list[Child], stopping: list[int]) -> None:
    """Schedule first, so that nothing new begins; a second Ctrl-C stops the wait."""
    say("\nStopping: what is under way finishes its piece, a few seconds. Ctrl-C again stops at once.")
    asked = len(stopping)
    for child in reversed(family):
        child.ask_to_stop()
    deadline = time.monotonic() + PATIENCE
    while any(child.is_running() for child in family) and time.monotonic() < deadline and len(stopping) <= asked:
        time.sleep(0.1)
    for child in family:
        child.kill()
    say("Stopped. What was under way goes on at the next start.")


def welcome(port: int, folder: Path) -> str:
    people = folder / "sample-people.txt"
    return "\n".join(
        [
            "",
            f"Habeas runs.   Open http://127.0.0.1:{port}/   (staff: /admin/   auditors: /audit/)",
            "",
            people.read_text(encoding="utf-8").rstrip() if people.exists() else "No sample people.",
            "",
            f"Letters are files in {folder / 'mailbox'}. Logs are in {folder / 'log'}.",
            "Ctrl-C stops everything.",
        ]
    )


def _last_lines(path: Path, count: int = 20) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535 is wanted, as in PORT=8001")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description="Serve Habeas on this machine.")
    parser.add_argument("--port", type=port_number, default=8000)
    port: int = parser.parse_args().port
    if not port_is_free(port):
        sys.exit(f"Port {port} is taken. Take another one: make run PORT={port + 1}")
    os.umask(0o077)  # databases, logs and letters are the owner's alone
    folder = installing.data_dir()
    installing.write_environment(folder, port)
    if not installing.set_up(say):
        sys.exit("Setting up failed: see above.")
    return serve(port, folder)


if __name__ == "__main__":
    sys.exit(main())
