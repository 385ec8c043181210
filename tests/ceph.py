"""Starts a throw-away Ceph RADOS gateway: a strict S3 server (signatures, versions, Object Lock) in memory, on loopback.

Debian packages: radosgw ceph-mon ceph-osd ceph-common.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd", "ceph", "monmaptool", "radosgw-admin")
CONFIGURATION = """\
[global]
fsid = {fsid}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
mon_host = v2:127.0.0.1:{mon}
mon_initial_members = a
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
ms_bind_port_min = {low}
ms_bind_port_max = {high}
public_addr = 127.0.0.1
public_network = 127.0.0.0/8
run_dir = {folder}/run
admin_socket = {folder}/run/$name.asok
log_file = {folder}/log/$name.log
pid_file = {folder}/run/$name.pid
crash_dir = {folder}/run
[mon.a]
mon_data = {folder}/mon/a
[osd.0]
osd_data = {folder}/osd/0
osd_objectstore = memstore
memstore_device_bytes = 2147483648
[client.rgw]
ms_mon_client_mode = crc
rgw_data = {folder}/rgw
keyring = {folder}/rgw/keyring
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_enable_apis = s3, admin
"""


@dataclass(frozen=True)
class Gateway:
    endpoint_url: str
    access_key: str
    secret_key: str


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextlib.contextmanager
def running_gateway(folder: Path, port: int = 27480) -> Iterator[Gateway]:
    """Start the gateway below `folder`; everything is stopped at the end."""
    for name in ("run", "log", "mon", "osd/0", "rgw"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    fsid, configuration = str(uuid.uuid4()), folder / "ceph.conf"
    mon = port + 10
    configuration.write_text(
        CONFIGURATION.format(fsid=fsid, mon=mon, low=mon + 10, high=mon + 90, folder=folder, port=port)
    )
    try:
        yield _start(folder, configuration, fsid, mon, port)
    finally:
        for name in ("rgw", "osd.0", "mon.a"):
            _stop(folder / "run" / f"{name}.pid")


def _start(folder: Path, configuration: Path, fsid: str, mon: int, port: int) -> Gateway:
    def run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-800:]}")

    at = ("-c", str(configuration))
    run(
        "monmaptool",
        "--create",
        "--clobber",
        "--fsid",
        fsid,
        "--addv",
        "a",
        f"[v2:127.0.0.1:{mon}]",
        str(folder / "monmap"),
    )
    run("ceph-mon", *at, "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"), "--mon-data", str(folder / "mon/a"))
    run("ceph-mon", *at, "-i", "a", "--pid-file", str(folder / "run/mon.a.pid"))
    osd = str(uuid.uuid4())
    run("ceph", *at, "osd", "create", osd, "0")
    run("ceph-osd", *at, "-i", "0", "--mkfs", "--osd-uuid", osd, "--osd-data", str(folder / "osd/0"))
    run("ceph-osd", *at, "-i", "0", "--pid-file", str(folder / "run/osd.0.pid"))
    run("radosgw", *at, "-n", "client.rgw", "--pid-file", str(folder / "run/rgw.pid"))
    _wait_for(port)
    access, secret = f"habeas{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
    user = ("--uid=habeas", "--display-name=habeas", f"--access-key={access}", f"--secret-key={secret}")
    run("radosgw-admin", *at, "-n", "client.rgw", "user", "create", *user)
    return Gateway(f"http://127.0.0.1:{port}", access, secret)


def _wait_for(port: int) -> None:
    for _attempt in range(120):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.5)
    raise RuntimeError("the gateway does not listen")


def _stop(pid_file: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.fixture(scope="session")
def ceph_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for the session; without its programs the test is skipped, or fails where services are required."""
    if missing := missing_programs():
        message = f"not installed: {', '.join(missing)}"
        (pytest.fail if os.environ.get("TEST_SERVICES") == "required" else pytest.skip)(message)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running_gateway(tmp_path_factory.mktemp("ceph"), port) as gateway:
        yield gateway
