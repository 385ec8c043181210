"""Backups of the test's databases and of folders, and what an operator does with them: real copies, as after a fault."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from django.conf import settings
from django.db import connections
from moto.server import ThreadedMotoServer

from apps.audit import quarantine
from tests.services import postgres_programs

ALIASES = ("default", "keys")


class Backup:
    """Both databases, the folder of tiles and the storage, as they were when it was made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for alias in ALIASES:
            _save(alias, folder / alias)
        for name, path in _folders().items():
            if path.exists():
                shutil.copytree(path, folder / name)

    def restore(self, *what: str) -> None:
        """Put back "default", "keys", "tiles" or "storage"; what asks next is a process that has just started."""
        for name in what:
            if name in ALIASES:
                _load(name, self.folder / name)
            else:
                shutil.rmtree(_folders()[name], ignore_errors=True)
                if (self.folder / name).exists():
                    shutil.copytree(self.folder / name, _folders()[name])
        quarantine.forget()


@contextmanager
def bucket_with_lock(name: str) -> Iterator[str]:
    """Serve a bucket in which nothing is overwritten, as an anchor wants it; yields the server's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        access = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **access)
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        yield address
    finally:
        server.stop()


def _folders() -> dict[str, Path]:
    return {"tiles": Path(settings.TILES_DIR), "storage": Path(settings.STORAGES["default"]["OPTIONS"]["location"])}


def _save(alias: str, path: Path) -> None:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with sqlite3.connect(path) as target:
            connection.connection.backup(target)
    else:
        _run("pg_dump", connection, "--format=custom", f"--file={path}")


def _load(alias: str, path: Path) -> None:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with sqlite3.connect(path) as source:
            source.backup(connection.connection)
    else:
        connection.close()
        _run("pg_restore", connection, "--clean", "--if-exists", "--single-transaction", str(path))


def _run(program: str, connection: Any, *arguments: str) -> None:
    values = connection.settings_dict
    database = f"--dbname={values['NAME']}"
    environment = {"PGHOST": values["HOST"], "PGPORT": str(values["PORT"]), "PGUSER": values["USER"]}
    folder = postgres_programs()
    command = [str(folder / program) if folder else program, database, *arguments]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
