"""Throw-away servers on loopback: PostgreSQL, MariaDB, Redis and RabbitMQ. (Ceph's S3 gateway is in ceph.py.)

A test asks for the fixture `postgres`, `mariadb` or `redis` and carries the mark `services`. Where a server is not installed the
test is skipped with the reason; TEST_SERVICES=required turns that into a failure.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pymysql
import pytest

READY_WITHIN = 180  # on a busy machine


@dataclass(frozen=True)
class Postgres:
    """A server with trust for everybody on loopback; nothing of it survives."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, *databases: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for name in databases:
                connection.execute(f'CREATE DATABASE "{name}"'.encode())


@dataclass(frozen=True)
class MariaDB:
    """A server whose root has no password on loopback; nothing of it survives."""

    port: int

    def connect(self, database: str | None = None) -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, charset="utf8mb4", autocommit=True
        )

    def run(self, *statements: str, database: str | None = None) -> None:
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres: on the PATH, or where Debian keeps each version."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if on_path:
        return Path(on_path).resolve().parent
    return found[-1].parent if found else None


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start PostgreSQL in a folder of its own; it refuses to run as root, so then as the user postgres."""
    programs = postgres_programs()
    if programs is None:
        raise FileNotFoundError("initdb")
    folder = Path(tempfile.mkdtemp(prefix="habeas-postgres-", dir="/tmp"))
    account: dict = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data, port = folder / "data", free_port()
    quick = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, cwd=folder, timeout=120, **account,
        )  # fmt: skip
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, *quick],
                cwd=folder, stdout=log, stderr=log, start_new_session=True, **account,
            )  # fmt: skip
        try:
            wait_for(port)
            _wait_until_it_lets_in(Postgres(port))
            yield Postgres(port)
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


@contextlib.contextmanager
def running_mariadb() -> Iterator[MariaDB]:
    """Start MariaDB in a folder of its own, as the user mysql when we are root."""
    installer = shutil.which("mariadb-install-db")
    if installer is None:
        raise FileNotFoundError("mariadb-install-db")
    folder = Path(tempfile.mkdtemp(prefix="habeas-mariadb-", dir="/tmp"))
    as_whom = []
    if os.geteuid() == 0:
        owner = pwd.getpwnam("mysql")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_whom = ["--user=mysql"]
    data, port = folder / "data", free_port()
    quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-log-bin"]
    try:
        subprocess.run(
            [shutil.which("mariadb-install-db") or "mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal",
             *as_whom],
            check=True, capture_output=True, cwd=folder, timeout=120,
        )  # fmt: skip
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            server = subprocess.Popen(
                [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}",
                 "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid", *quick, *as_whom],
                cwd=folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for(port)
            yield MariaDB(port)
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


KEEPS_ALL = {  # both ways in which Redis writes to a disk; nothing packed, and no command of the past left out
    "save": "60 1", "rdbcompression": "no", "appendonly": "yes", "appendfsync": "always", "auto-aof-rewrite-percentage": "0",
}  # fmt: skip


@contextlib.contextmanager
def running_redis(folder: Path, *, keeps: bool = False) -> Iterator[str]:
    """Start Redis and yield its address; with `keeps` it writes all that it is told below the folder."""
    port, program = free_port(), shutil.which("redis-server") or "redis-server"
    options = [part for name, value in (KEEPS_ALL if keeps else {"save": ""}).items() for part in (f"--{name}", value)]
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, *options],
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@contextlib.contextmanager
def running_rabbitmq(folder: Path) -> Iterator[str]:
    """Start RabbitMQ with all that it keeps in this folder, and yield its address; FileNotFoundError if it is not there.

    Erlang's port mapper, which would otherwise stay and serve every Erlang on the machine, is one of its own, and ends too.
    """
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what is on the PATH runs it as another user
    if not program.exists():
        raise FileNotFoundError(program)
    folder.mkdir()
    port, mapper = free_port(), str(free_port())
    environment = os.environ | {
        "HOME": str(folder), "ERL_EPMD_PORT": mapper, "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"habeas{port}@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }  # fmt: skip
    (folder / "plugins").write_text("[].")
    with (folder.parent / f"{folder.name}.out").open("wb") as out:
        server = subprocess.Popen([program], env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(port)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)
        ending = [shutil.which("epmd") or "/usr/bin/epmd", "-port", mapper, "-kill"]
        subprocess.run(ending, env=environment, capture_output=True, check=False)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def _wait_until_it_lets_in(server: Postgres) -> None:
    """It listens a moment before it lets anybody in."""
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def not_here(what: str) -> None:
    """Skip, or fail where services are required."""
    (pytest.fail if os.environ.get("TEST_SERVICES") == "required" else pytest.skip)(f"not installed: {what}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if postgres_programs() is None:
        not_here("PostgreSQL")
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    if shutil.which("mariadb-install-db") is None:
        not_here("MariaDB")
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("redis-server") is None:
        not_here("Redis")
    with running_redis(tmp_path_factory.mktemp("redis")) as address:
        yield address
