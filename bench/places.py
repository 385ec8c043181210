"""Find, read and erase the objects of one person in each kind of place, against a loop by hand with the provider's client.

python -m bench.places [OBJECTS] [KIND …]     (servers on loopback; both sides talk to the same one)

Every loop does what the connector does: the same listings and pages, each object read whole, batches of the same size.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench.acts import SIZE, USER, Kind, leave_out, main

PREFIX = f"users/{USER}/"
FOUND_BY = {"templates": ["users/{user_id}/"]}
BODY = b"x" * SIZE


def filler(put: Callable[[str], Any]) -> Callable[[int], None]:
    """Return what puts objects there, several at once, since most servers take their time."""

    def fill(count: int) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, (f"{PREFIX}{number:06}.txt" for number in range(count))))

    return fill


def line_of(name: str, size: int, at: datetime) -> bytes:
    """Return the line that names an item in the archive's index: its own name in the archive says nothing."""
    return orjson.dumps({"name": name, "size": size, "modified": at}, option=orjson.OPT_APPEND_NEWLINE)


class FilesByHand:
    """os.scandir: path, size and date; opens and reads each file and writes its line; unlinks each, then the folder."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.folder = f"{config['root']}/{PREFIX}"

    def _listed(self) -> Iterator[tuple[str, int, datetime]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                yield entry.path, info.st_size, datetime.fromtimestamp(info.st_mtime, UTC)

    def find(self) -> int:
        return sum(1 for _one in self._listed())

    def read(self) -> int:
        count = 0
        for path, size, at in self._listed():
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 a Path would cost more
                count += len(file.read()) == size and bool(line_of(path, size, at))
        return count

    def erase(self) -> int:
        count = 0
        for path, _size, _at in list(self._listed()):
            os.unlink(path)  # noqa: PTH108
            count += 1
        os.rmdir(self.folder)  # noqa: PTH106
        return count


def files(stack: ExitStack) -> Kind:
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def fill(count: int) -> None:
        (root / PREFIX).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / f"{PREFIX}{number:06}.txt").write_bytes(BODY)

    config = FOUND_BY | {"root": str(root)}
    return Kind("files", "apps.locations.connectors.files.FilesConnector", FilesByHand, config, fill)


class S3ByHand:
    """boto3: a page of 1,000 keys a request; GetObject each; ListObjectVersions and DeleteObjects by 1,000, then the uploads."""

    def __init__(self, config: dict[str, Any]) -> None:
        import boto3

        self.bucket = config["bucket"]
        self.client: Any = boto3.client(
            "s3", endpoint_url=config["endpoint_url"], region_name=config["region_name"],
            aws_access_key_id=config["access_key"], aws_secret_access_key=config["secret_key"],
        )  # fmt: skip

    def _pages(self, call: str) -> Iterator[dict[str, Any]]:
        yield from self.client.get_paginator(call).paginate(Bucket=self.bucket, Prefix=PREFIX)

    def _keys(self) -> Iterator[str]:
        return (one["Key"] for page in self._pages("list_objects_v2") for one in page.get("Contents", []))

    def find(self) -> int:
        return sum(1 for _key in self._keys())

    def read(self) -> int:
        bodies = (self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in self._keys())
        return sum(len(body) == SIZE for body in bodies)

    def erase(self) -> int:
        gone = 0
        for page in self._pages("list_object_versions"):
            wanted = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in page.get("Versions", [])]
            self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": wanted, "Quiet": True})
            gone += len(wanted)
        for page in self._pages("list_multipart_uploads"):
            for one in page.get("Uploads", []):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"])
        return gone


def s3(stack: ExitStack) -> Kind | None:
    from tests.ceph import missing_programs, running_gateway
    from tests.contracts.places import new_bucket
    from tests.services import free_port

    if missing_programs():
        leave_out("Ceph's gateway")
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    gateway = stack.enter_context(running_gateway(folder / "ceph", free_port()))
    place = new_bucket(gateway.endpoint_url, gateway.access_key, gateway.secret_key)
    fill = filler(lambda name: place.client.put_object(Bucket=place.bucket, Key=name, Body=BODY))
    config = place.config | FOUND_BY
    return Kind("s3 (Ceph)", "apps.locations.connectors.s3.S3Connector", S3ByHand, config, fill, tries=3)


class GcsByHand:
    """google-cloud-storage: a page of 1,000 a request; one download each; deletions of every generation by 100 in a batch."""

    def __init__(self, config: dict[str, Any]) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        options = {"api_endpoint": config["endpoint_url"]}
        self.client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)

    def _listed(self, **which: bool) -> Iterator[Any]:
        return iter(self.client.list_blobs("bucket", prefix=PREFIX, **which))

    def find(self) -> int:
        return sum(1 for _blob in self._listed())

    def read(self) -> int:
        bodies = (blob.download_as_bytes(raw_download=True, checksum=None) for blob in self._listed())
        return sum(len(body) == SIZE for body in bodies)

    def erase(self) -> int:
        bucket, found = self.client.bucket("bucket"), list(self._listed(versions=True))
        for start in range(0, len(found), 100):
            with self.client.batch():
                for blob in found[start : start + 100]:
                    bucket.delete_blob(blob.name, generation=blob.generation)
        return len(found)


def gcs(stack: ExitStack) -> Kind:
    from tests.contracts.gcs_standin import GcsStandIn, Kept

    server = GcsStandIn()
    stack.callback(server.stop)
    server.needs_token = False

    def fill(count: int) -> None:
        server.calls.clear()
        server.kept.extend(Kept(f"{PREFIX}{number:06}.txt", number + 1, BODY) for number in range(count))

    config = FOUND_BY | {"bucket": "bucket", "endpoint_url": server.address}
    return Kind("gcs (stand-in)", "apps.locations.connectors.gcs.GcsConnector", GcsByHand, config, fill, tries=3)


class AzureByHand:
    """azure-storage-blob: a page of 1,000 a request; one download each; delete_blobs by 256, with their snapshots."""

    def __init__(self, config: dict[str, Any]) -> None:
        from azure.storage.blob import BlobServiceClient

        credential: Any = {"account_name": config["account"], "account_key": config["account_key"]}
        service = BlobServiceClient(config["endpoint_url"], credential=credential)
        self.client = service.get_container_client(config["container"])

    def _names(self) -> Iterator[str]:
        return (blob.name for blob in self.client.list_blobs(name_starts_with=PREFIX, results_per_page=1000))

    def find(self) -> int:
        return sum(1 for _name in self._names())

    def read(self) -> int:
        return sum(len(self.client.download_blob(name).readall()) == SIZE for name in self._names())

    def erase(self) -> int:
        names, gone = list(self._names()), 0
        for start in range(0, len(names), 256):
            batch = [{"name": name, "delete_snapshots": "include"} for name in names[start : start + 256]]
            gone += sum(answer.status_code < 300 for answer in self.client.delete_blobs(*batch))
        return gone


def azure(stack: ExitStack) -> Kind | None:
    from tests.azurite import program, running_azurite
    from tests.contracts.kinds_clouds import Azure

    if program() is None:
        leave_out("Azurite")
        return None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    place = Azure(stack.enter_context(running_azurite(folder)))
    fill = filler(lambda name: place.client.upload_blob(name, BODY))
    config = place.config | FOUND_BY
    return Kind("azure (Azurite)", "apps.locations.connectors.azure.AzureConnector", AzureByHand, config, fill, tries=3)


class SftpByHand:
    """paramiko: one listing, which tells sizes; open, read and close each file; remove each, then the folder."""

    def __init__(self, config: dict[str, Any]) -> None:
        from apps.locations.connectors.sftp import open_storage

        self.client = open_storage(config).sftp  # the same sign-in and the same look at the host key
        self.folder = f"{config['root']}/{PREFIX}"

    def find(self) -> int:
        return sum(1 for one in self.client.listdir_attr(self.folder) if one.st_size == SIZE)

    def read(self) -> int:
        count = 0
        for one in self.client.listdir_attr(self.folder):
            with self.client.open(self.folder + one.filename, "rb") as file:
                count += len(file.read(one.st_size)) == SIZE
        return count

    def erase(self) -> int:
        names = self.client.listdir(self.folder)
        for name in names:
            self.client.remove(self.folder + name)
        self.client.rmdir(self.folder)
        return len(names)


def sftp(stack: ExitStack) -> Kind | None:
    from tests.sftp import running_sftp

    if shutil.which("sshd") is None and shutil.which("/usr/sbin/sshd") is None:
        leave_out("openssh-server")
        return None
    server = stack.enter_context(running_sftp(Path(stack.enter_context(tempfile.TemporaryDirectory()))))

    def fill(count: int) -> None:
        (server.root / PREFIX).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (server.root / f"{PREFIX}{number:06}.txt").write_bytes(BODY)

    config = FOUND_BY | {
        "host": "127.0.0.1", "port": server.port, "username": server.user, "private_key": server.private_key,
        "host_key": server.host_key, "root": str(server.root),
    }  # fmt: skip
    return Kind("sftp (OpenSSH)", "apps.locations.connectors.sftp.SftpConnector", SftpByHand, config, fill, tries=3)


if __name__ == "__main__":
    main(str(__doc__), {"files": files, "s3": s3, "gcs": gcs, "azure": azure, "sftp": sftp})
