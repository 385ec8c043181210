"""Starts a throw-away SFTP server: Debian's openssh-server on a free port of loopback, with keys of its own.

It lets in the account under which the tests run, by its key, and gives internal-sftp only.
"""

from __future__ import annotations

import contextlib
import getpass
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services import free_port, not_here, wait_for

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
ForceCommand internal-sftp
MaxStartups 100
"""


@dataclass(frozen=True)
class Sftp:
    port: int
    user: str
    host_key: str
    private_key: str
    other_key: str  # one that it does not let in
    root: Path


def _new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)  # noqa: S607
    return path


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sftp]:
    program = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
    if program is None or shutil.which("ssh-keygen") is None:
        not_here("openssh-server")
        return
    with running_sftp(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@contextlib.contextmanager
def running_sftp(folder: Path) -> Iterator[Sftp]:
    """Start the server with its keys below a folder; what it shows lies in `root` there."""
    program, port = shutil.which("sshd") or "/usr/sbin/sshd", free_port()
    host, mine, other = (_new_key(folder / name) for name in ("host", "mine", "other"))
    (folder / "authorized").write_text(mine.with_suffix(".pub").read_text())
    (folder / "config").write_text(CONFIGURATION.format(port=port, folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)  # where it changes root to, before somebody has signed in
    server = subprocess.Popen(
        [program, "-D", "-e", "-f", folder / "config"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(port)
        (folder / "root").mkdir()
        public = " ".join(host.with_suffix(".pub").read_text().split()[:2])
        yield Sftp(port, getpass.getuser(), public, mine.read_text(), other.read_text(), folder / "root")
    finally:
        server.terminate()
        server.wait(timeout=20)
