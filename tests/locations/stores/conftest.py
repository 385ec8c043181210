"""Stores of every kind, each on a server of its own that nothing survives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from apps.locations.stores import Store, store_of
from tests.azurite import Azurite, azurite  # noqa: F401
from tests.contracts.kinds_clouds import Azure, GcsEmulator, Sftp, gcs_emulator, patient_no_longer  # noqa: F401
from tests.mongodb import MongoDB, Running
from tests.services import MariaDB, Postgres, mariadb, postgres  # noqa: F401
from tests.sftp import Sftp as SftpServer
from tests.sftp import sftp  # noqa: F401


@dataclass(frozen=True)
class Place:
    """A kind of place and the settings that open it."""

    kind: str
    config: dict[str, Any]

    def store(self, target: str = "habeas_copies", *, is_text: bool = False) -> Store:
        return store_of(self.kind, self.config, target, is_text=is_text)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def files_place(tmp_path: Path) -> Place:
    (tmp_path / "copies").mkdir()
    return Place("files", {"root": str(tmp_path / "copies"), "templates": ["people/{subject_id}/"]})


@pytest.fixture
def s3_place(moto: str) -> Place:
    """A bucket with versions."""
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=moto, **access).Bucket(f"copies-{uuid4().hex[:8]}")
    bucket.create()
    bucket.Versioning().enable()
    config = {"bucket": bucket.name, "endpoint_url": moto, "access_key": "test", "secret_key": "test"}
    return Place("s3", config | {"templates": ["people/{subject_id}/"]})


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    sqlite3.connect(tmp_path / "copies.sqlite3").close()
    return Place("sql", {"dialect": "sqlite", "database": str(tmp_path / "copies.sqlite3")})


@pytest.fixture
def postgres_place(postgres: Postgres) -> Place:  # noqa: F811
    name = f"copies_{uuid4().hex[:8]}"
    postgres.create(name)
    config = {"dialect": "postgresql", "host": "127.0.0.1", "port": postgres.port, "user": "postgres", "tls": "off"}
    return Place("sql", config | {"database": name})


@pytest.fixture
def mariadb_place(mariadb: MariaDB) -> Place:  # noqa: F811
    name = f"copies_{uuid4().hex[:8]}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    config = {"dialect": "mysql", "host": "127.0.0.1", "port": mariadb.port, "user": "root", "tls": "off"}
    return Place("sql", config | {"database": name})


@pytest.fixture
def mongo_place() -> Iterator[Place]:
    """A strict stand-in, to which the real driver talks (tests/mongodb.py)."""
    with Running(MongoDB()) as server:
        config = {"hosts": server.address, "database": "shop", "user": "", "password": "", "tls": "off"}
        yield Place("mongodb", config)


@pytest.fixture
def gcs_place(gcs_emulator: int, monkeypatch: pytest.MonkeyPatch) -> Place:  # noqa: F811
    """An emulator that keeps one generation of each object (generations: test_stores.py, on the strict stand-in)."""
    patient_no_longer(monkeypatch)
    return Place("gcs", GcsEmulator(gcs_emulator).config)


@pytest.fixture
def azure_place(azurite: Azurite) -> Place:  # noqa: F811
    return Place("azure", Azure(azurite).config)


@pytest.fixture
def sftp_place(sftp: SftpServer) -> Place:  # noqa: F811
    folder = sftp.root / uuid4().hex
    folder.mkdir()
    return Place("sftp", Sftp(sftp, folder).config)


KINDS = (
    "files_place",
    "s3_place",
    "gcs_place",
    pytest.param("azure_place", marks=pytest.mark.services),
    pytest.param("sftp_place", marks=pytest.mark.services),
    "mongo_place",
    "sqlite_place",
    pytest.param("postgres_place", marks=pytest.mark.services),
    pytest.param("mariadb_place", marks=pytest.mark.services),
)


@pytest.fixture(params=KINDS)
def any_place(request: pytest.FixtureRequest) -> Place:
    place: Place = request.getfixturevalue(request.param)
    return place
