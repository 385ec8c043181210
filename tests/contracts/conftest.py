from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from apps.locations.contract import Identity
from tests.ceph import ceph_gateway  # noqa: F401
from tests.contracts.places import FilesPlace, Place, S3Place


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_place(endpoint_url: str, access_key: str, secret_key: str, *, locked: bool = False) -> S3Place:
    config = {
        "endpoint_url": endpoint_url,
        "region_name": "us-east-1",
        "access_key": access_key,
        "secret_key": secret_key,
    }
    client = boto3.client(
        "s3", endpoint_url=endpoint_url, region_name="us-east-1",
        aws_access_key_id=access_key, aws_secret_access_key=secret_key,
    )  # fmt: skip
    return S3Place(client, f"habeas-{uuid.uuid4().hex[:12]}", config, locked=locked)


@pytest.fixture(params=["files", "s3-moto", pytest.param("s3-ceph", marks=pytest.mark.services)])
def place(request: Any, tmp_path: Path) -> Place:
    if request.param == "files":
        return FilesPlace(tmp_path)
    if request.param == "s3-moto":
        return s3_place(request.getfixturevalue("moto_address"), "test", "test")
    gateway = request.getfixturevalue("ceph_gateway")
    return s3_place(gateway.endpoint_url, gateway.access_key, gateway.secret_key)


@pytest.fixture
def ada() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("email", "ada@example.org"), ("user_id", "4")))


@pytest.fixture
def ben() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("email", "ben@example.org"), ("user_id", "42")))
