"""Google Cloud Storage and Azure for the contract that all share."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
import requests
from azure.storage.blob import BlobServiceClient
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from apps.locations.connectors.azure import AzureConnector
from apps.locations.connectors.gcs import GcsConnector
from apps.locations.connectors.sftp import SftpConnector
from apps.locations.connectors.storages import StorageConnector
from tests.azurite import ACCOUNT, KEY, Azurite
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds import KEYS, NAMES, Files, Kind, many_items
from tests.services import free_port
from tests.sftp import Sftp as SftpServer

FOUND_BY = {"templates": ["users/{user_id}/", "mail/{email}.json"]}
SEND = ("requests.adapters.HTTPAdapter.send",)


class Gcs(Kind):
    """The strict stand-in, with a service account that signs in there."""

    transport: tuple[str, ...] = SEND
    batches: tuple[str, ...] = ("apps.locations.connectors.gcs.DELETE_LIMIT",)
    names = KEYS

    def __init__(self, server: GcsStandIn) -> None:
        self.server = server
        self.config: dict[str, Any] = FOUND_BY | {
            "bucket": "bucket",
            "endpoint_url": server.address,
            "service_account": server.key(),
        }
        self.connector = self.again()

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.server.put(f"users/{user_id}/{name}", data)

    def everything(self) -> dict[str, str]:
        assert self.server.violations == []
        return self.server.everything()

    def again(self) -> GcsConnector:
        return GcsConnector(self.config)

    def lost(self) -> BaseException:
        return requests.ConnectionError("lost")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        [kept] = [one for one in self.server.kept if one.name == f"users/{user_id}/{name}"]
        kept.hold = True
        yield
        kept.hold = False

    def with_wrong_credentials(self) -> GcsConnector:
        wrong = self.config["service_account"].replace("/token", "/no-token")
        return GcsConnector(self.config | {"service_account": wrong})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> GcsConnector:
        monkeypatch.setattr("apps.locations.connectors.gcs.READ_TIMEOUT", 0.2)
        return GcsConnector(self.config | {"endpoint_url": f"http://{address}"})


class GcsEmulator(Kind):
    """gcp-storage-emulator: it keeps one generation of each object and knows no holds."""

    transport: tuple[str, ...] = SEND
    many = many_items(300)

    def __init__(self, port: int) -> None:
        self.bucket = f"habeas-{uuid.uuid4().hex[:12]}"
        self.config = FOUND_BY | {"bucket": self.bucket, "endpoint_url": f"http://127.0.0.1:{port}"}
        options = {"api_endpoint": self.config["endpoint_url"]}
        self.client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
        bucket = self.client.create_bucket(self.bucket)
        bucket.soft_delete_policy.retention_duration_seconds = 0
        bucket.patch()
        self.connector = self.again()

    batches = Gcs.batches
    names = [name for name in NAMES if "\n" not in name and "\t" not in name]

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.client.bucket(self.bucket).blob(f"users/{user_id}/{name}").upload_from_string(data)

    def everything(self) -> dict[str, str]:
        return {str(blob.name): str(blob.md5_hash) for blob in self.client.list_blobs(self.bucket)}

    def again(self) -> GcsConnector:
        return GcsConnector(self.config)

    def lost(self) -> BaseException:
        return requests.ConnectionError("lost")

    def keep(self, user_id: str, name: str) -> contextlib.AbstractContextManager[None]:
        pytest.skip("the emulator knows no holds: the strict stand-in does")

    def with_wrong_credentials(self) -> GcsConnector:
        pytest.skip("the emulator asks for none: the strict stand-in does")

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> GcsConnector:
        pytest.skip("the strict stand-in's connector is tried so, and this one is the same")


class Azure(Kind):
    transport: tuple[str, ...] = SEND
    batches: tuple[str, ...] = ("apps.locations.connectors.azure.DELETE_LIMIT",)
    many = many_items(400)

    def __init__(self, server: Azurite) -> None:
        self.container = f"habeas-{uuid.uuid4().hex[:12]}"
        self.config = FOUND_BY | {
            "account": ACCOUNT, "account_key": KEY, "container": self.container, "endpoint_url": server.address,
        }  # fmt: skip
        credential: Any = {"account_name": ACCOUNT, "account_key": KEY}
        self.client = BlobServiceClient(server.address, credential=credential).create_container(self.container)
        self.connector = self.again()

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.client.upload_blob(f"users/{user_id}/{name}", data, overwrite=True)

    def everything(self) -> dict[str, str]:
        found = self.client.list_blobs(include=["snapshots", "uncommittedblobs"])
        return {
            f"{blob.name}#{blob.snapshot or ''}": hashlib.sha256(
                bytes(blob.content_settings.content_md5 or b"")
            ).hexdigest()
            for blob in found
        }

    def again(self) -> AzureConnector:
        return AzureConnector(self.config)

    def lost(self) -> BaseException:
        return requests.ConnectionError("lost")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        lease = self.client.get_blob_client(f"users/{user_id}/{name}").acquire_lease()
        yield
        lease.release()

    def with_wrong_credentials(self) -> AzureConnector:
        return AzureConnector(self.config | {"account_key": "d3Jvbmc="})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> AzureConnector:
        monkeypatch.setattr("apps.locations.connectors.azure.READ_TIMEOUT", 0.2)
        monkeypatch.setattr("apps.locations.connectors.azure.RETRIES", 0)
        return AzureConnector(self.config | {"endpoint_url": f"http://{address}/{ACCOUNT}"})


@pytest.fixture(scope="session")
def gcs_emulator() -> Iterator[int]:
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    yield port
    server.stop()


def patient_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try each call once, and leave out the library's question to Google in which regions an account may be used."""
    monkeypatch.setattr("apps.locations.connectors.gcs.TRIED_FOR", 0)
    asks = "google.oauth2.service_account.Credentials._is_regional_access_boundary_lookup_required"
    monkeypatch.setattr(asks, lambda self: False)


def gcs_standin(request: pytest.FixtureRequest) -> Gcs:
    patient_no_longer(request.getfixturevalue("monkeypatch"))
    server = GcsStandIn()
    request.addfinalizer(server.stop)
    return Gcs(server)


def _gcs_emulator(request: pytest.FixtureRequest) -> GcsEmulator:
    patient_no_longer(request.getfixturevalue("monkeypatch"))
    return GcsEmulator(request.getfixturevalue("gcs_emulator"))


class Sftp(Files):
    """OpenSSH's server over a folder that the test sees by itself."""

    transport: tuple[str, ...] = (
        "paramiko.transport.Transport.open_session",
        "paramiko.sftp_client.SFTPClient._request",
    )
    batches: tuple[str, ...] = ("apps.locations.connectors.sftp.ERASED_PER_PROGRESS",)
    many = many_items(300)

    def __init__(self, server: SftpServer, folder: Path) -> None:
        super().__init__(folder)
        self.server = server
        self.config = FOUND_BY | {
            "host": "127.0.0.1", "port": server.port, "username": server.user, "private_key": server.private_key,
            "host_key": server.host_key, "root": str(folder),
        }  # fmt: skip
        self.connector = self.again()

    def again(self) -> Any:
        return SftpConnector(self.config)

    def lost(self) -> BaseException:
        return paramiko.SSHException("lost")

    def with_wrong_credentials(self) -> SftpConnector:
        return SftpConnector(self.config | {"private_key": self.server.other_key})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> SftpConnector:
        monkeypatch.setattr("apps.locations.connectors.sftp.TIMEOUT", 0.2)
        return SftpConnector(self.config | {"port": int(address.rpartition(":")[2])})


class AnyStorage(Files):
    """Django's own file storage, through the Storage API."""

    transport: tuple[str, ...] = ("os.scandir", "os.remove", "os.path.getsize", "os.open")
    batches = ("apps.locations.connectors.storages.ERASED_PER_PROGRESS",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = FOUND_BY | {
            "backend": "django.core.files.storage.FileSystemStorage", "options": {"location": str(folder)},
        }  # fmt: skip
        self.connector = self.again()

    def again(self) -> Any:
        return StorageConnector(self.config)

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> StorageConnector:
        pytest.skip("this back end has no server, and how long another one waits is a setting of its own")


def _sftp(request: pytest.FixtureRequest) -> Sftp:
    server = request.getfixturevalue("sftp")
    return Sftp(server, server.root / uuid.uuid4().hex)


CLOUD_KINDS: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {
    "gcs-standin": gcs_standin,
    "gcs-emulator": _gcs_emulator,
    "azure": lambda request: Azure(request.getfixturevalue("azurite")),
    "sftp": _sftp,
    "storage": lambda request: AnyStorage(request.getfixturevalue("tmp_path") / "storage"),
}
CLOUD_SERVICES = {"azure", "sftp"}
