from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from apps.locations.contract import Identity
from tests.azurite import azurite  # noqa: F401
from tests.ceph import ceph_gateway  # noqa: F401
from tests.contracts.databases import SQL_KINDS, SQL_NEEDING_SERVICES
from tests.contracts.documents import DOCUMENT_KINDS, mongodb  # noqa: F401
from tests.contracts.kinds import KINDS, NEED_SERVICES, Kind
from tests.contracts.kinds_clouds import CLOUD_KINDS, CLOUD_SERVICES, gcs_emulator  # noqa: F401
from tests.contracts.kinds_hand import CANNOT, HAND_KINDS
from tests.contracts.kinds_outside import OUTSIDE_KINDS
from tests.contracts.places import FilesPlace, Place, new_bucket
from tests.services import mariadb, postgres  # noqa: F401
from tests.sftp import sftp  # noqa: F401

ALL_KINDS = KINDS | CLOUD_KINDS | SQL_KINDS | DOCUMENT_KINDS | OUTSIDE_KINDS | HAND_KINDS
NEEDING_SERVICES = NEED_SERVICES | CLOUD_SERVICES | SQL_NEEDING_SERVICES


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _marks(name: str) -> list[pytest.MarkDecorator]:
    if name in HAND_KINDS:  # its tasks are rows of ours
        return [pytest.mark.django_db(transaction=True, databases=["default", "keys"])]
    return [pytest.mark.services] if name in NEEDING_SERVICES else []


@pytest.fixture(params=[pytest.param(name, marks=_marks(name)) for name in ALL_KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    """A real place of each kind, with its name, for test_contract.py."""
    why = CANNOT.get(str(request.param), {}).get(request.node.originalname)
    if why:
        pytest.skip(why)
    return ALL_KINDS[str(request.param)](request)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes every connection and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=["files", "s3-moto", pytest.param("s3-ceph", marks=pytest.mark.services)])
def place(request: Any, tmp_path: Path) -> Place:
    if request.param == "files":
        return FilesPlace(tmp_path)
    if request.param == "s3-moto":
        return new_bucket(request.getfixturevalue("moto_address"), "test", "test")
    gateway = request.getfixturevalue("ceph_gateway")
    return new_bucket(gateway.endpoint_url, gateway.access_key, gateway.secret_key)


@pytest.fixture
def ada() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("email", "ada@example.org"), ("user_id", "4")))


@pytest.fixture
def ben() -> Identity:
    return Identity(uuid.uuid4(), None, None, (("email", "ben@example.org"), ("user_id", "42")))
