"""`make run`: what it makes of an empty folder, how it looks after its three processes, and how it stops."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from config import installing, run
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


def test_what_a_full_disk_left_of_messages_goes_before_a_worker_starts(tmp_path: Path) -> None:
    whole, torn, empty, fresh = (tmp_path / f"{name}.celery.msg" for name in ("whole", "torn", "empty", "fresh"))
    whole.write_text('{"body": ""}')
    torn.write_text('{"bod')
    for path in (empty, fresh):
        path.touch()
    for path in (whole, torn, empty):
        os.utime(path, (time.time() - 60,) * 2)
    run.drop_torn_messages(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, whole], "and one that is being written stays"
    run.drop_torn_messages(tmp_path / "no folder")


class TestSecrets:
    def test_they_are_the_owners_alone_and_a_second_start_keeps_them(self, tmp_path: Path) -> None:
        installing.write_environment(tmp_path, 8000)
        before = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
        assert set(before) == {"SECRET_KEY", "LOG_SIGNING_KEY", "ARCHIVE_SIGNING_KEY"}
        assert len(set(before.values())) == 3
        assert (tmp_path / "anchors").is_dir()  # its anchor makes no folder
        for path in [*(tmp_path / "secrets").iterdir(), tmp_path / "environment"]:
            assert path.stat().st_mode & 0o777 == 0o600
        installing.write_environment(tmp_path, 8001)
        assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == before
        written = (tmp_path / "environment").read_text()
        assert "SITE_URL=http://127.0.0.1:8001" in written
        assert f"LOCATION_ROOTS={tmp_path / 'places'}" in written
        assert (tmp_path / "places").is_dir()

    @pytest.mark.slow
    def test_commands_by_hand_find_the_same_site(self, tmp_path: Path) -> None:
        installing.write_environment(tmp_path, 8123)
        code = "from django.conf import settings as s; print(s.SITE_URL, s.SAMPLE_SITE, s.DATABASES['keys']['NAME'])"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
            env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"},
        )  # fmt: skip
        assert done.stdout.split() == ["http://127.0.0.1:8123", "True", f"{tmp_path}/keys/keys.sqlite3"]


class TestPort:
    @pytest.mark.slow
    def test_a_taken_port_is_named_with_the_way_out(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run(
                [sys.executable, "-m", "config.run", "--port", str(port)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert f"Port {port} is taken. Take another one: make run PORT={port + 1}" in done.stderr

    @pytest.mark.parametrize("port", ["0", "80a", "65536", "-1"])
    def test_what_is_no_port_is_refused(self, port: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError, match="PORT=8001"):
            run.port_number(port)
        assert run.port_number("8001") == 8001


class TestChild:
    def child(self, tmp_path: Path, code: str) -> run.Child:
        return run.Child("worker", ["-c", code], tmp_path / "worker.log")

    def test_one_that_dies_is_started_again_later_and_later(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        child = self.child(tmp_path, "import sys; sys.exit(3)")
        child.start()
        assert child.process
        child.process.wait()
        child.look_after()
        assert not child.is_running()
        assert "The worker ended (exit code 3). It starts again in 2 s." in capsys.readouterr().out
        child.start_again_at = 0
        child.look_after()
        assert child.process
        child.process.wait()
        child.look_after()
        assert "starts again in 4 s" in capsys.readouterr().out

    def test_one_that_lives_is_left_alone_and_stops_with_its_children(self, tmp_path: Path) -> None:
        child = self.child(
            tmp_path, "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
        )
        child.start()
        child.look_after()
        assert child.is_running()
        child.kill()
        assert not child.is_running()
        assert child.process
        with pytest.raises(ProcessLookupError):
            os.killpg(child.process.pid, 0)


@pytest.mark.thorough
class TestWhole:
    @pytest.mark.slow
    def test_it_sets_up_serves_and_stops_on_one_signal(self, tmp_path: Path) -> None:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "config.run", "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), "STATIC_ROOT": str(tmp_path / "static")},
        )  # fmt: skip
        try:
            assert process.stdout
            said = ""
            while "Ctrl-C stops everything" not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            assert f"http://127.0.0.1:{port}/" in said
            assert "ada@sample.example" in said
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
                assert answer.status == 200
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=20).read().decode()
            style = re.search(r'href="(/static/habeas[^"]*\.css)"', page)
            assert style
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}{style[1]}", timeout=20).status == 200
            assert (tmp_path / "data" / "records.sqlite3").stat().st_mode & 0o077 == 0
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert "Stopped." in process.stdout.read()
        finally:
            process.kill()
            process.wait()
        assert run.port_is_free(port)
        assert nobody_works_in(tmp_path)


def nobody_works_in(folder: Path) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(str(folder).encode() in environment for environment in _environments()):
            return True
        time.sleep(0.2)
    return False


def _environments() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.append(path.read_bytes())
        except OSError:  # ended, or another user's
            continue
    return [environment for environment in found if b"DATA_DIR=" in environment]


def test_nobody_chooses_the_address_that_is_noted_of_them(tmp_path: Path) -> None:
    """uvicorn believes X-Forwarded-For of loopback, where every reader of this server is."""
    web = run.children(8000, tmp_path)[0]
    assert "--no-proxy-headers" in web.arguments
