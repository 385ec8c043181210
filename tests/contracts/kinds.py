"""One real place of each kind for the contract that all share (test_contract.py).

To add a kind: a class like those below, which puts things there and sees everything that is there past the connector,
and a line in KINDS. Ada is user_id 4 there, Ben 42. What a kind cannot be asked for it leaves out, and the test is
skipped with the words of `Kind`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from apps.locations.connectors.files import FilesConnector
from apps.locations.connectors.s3 import S3Connector
from apps.locations.contract import Obstacle
from tests.contracts.places import FilesPlace, S3Place, new_bucket

MANY = 1100


def many_items(usual: int = MANY) -> int:
    """Return how many items the large test puts: CONTRACT_ITEMS, else what a run of all tests has time for."""
    return int(os.environ.get("CONTRACT_ITEMS", usual))


CHATTR = "/usr/bin/chattr"
NAMES = [
    "note.txt", "with space.txt", "日记 2026.md", "a/b/c/deep.bin", "quote'\"&.csv", "percent%20.txt", "-dash",
    "..hidden", "new\nline.txt", "tab\there", "emoji 🦊", "%s{}$(x)`", "e\u0301 and é",
]  # fmt: skip


KEYS = [
    *NAMES,
    "up/../down.txt",
    "twice//slashed.txt",
]  # of objects: for these a dot or a slash is a letter like others


class Kind:
    """What a test does with a place past the connector."""

    connector: Any
    many = many_items()  # items in the large test
    names = NAMES  # what an item can be called there
    transport: tuple[str, ...] = ()  # the functions in which its calls leave this process
    batches: tuple[str, ...] = ()  # the constants that say how much it takes at a time
    always: Sequence[Obstacle] = ()  # what stands in the way of every erasure there
    is_counted = True  # whether it can be asked what it holds, and by what it knows people

    def put(self, user_id: str, name: str, data: bytes) -> None:
        raise NotImplementedError

    def put_many(self, user_id: str, count: int) -> None:
        """Put that many items, each with text of its own."""
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(lambda number: self.put(user_id, f"{number:06}.txt", b"item %06d." % number), range(count))
            )

    def everything(self) -> dict[str, str]:
        """Return all that is there, versions and leftovers included, with a digest of its bytes."""
        raise NotImplementedError

    def of(self, user_id: str) -> dict[str, str]:
        """Return what is there of one person."""
        return {name: digest for name, digest in self.everything().items() if name.startswith(f"users/{user_id}/")}

    def again(self) -> Any:
        """Return another connector, as another process makes it."""
        raise NotImplementedError

    def lost(self) -> BaseException:
        """Return what the transport throws when the connection is lost."""
        raise NotImplementedError

    def keep(self, user_id: str, name: str) -> contextlib.AbstractContextManager[None]:
        """Make it impossible to delete an item while the context lasts."""
        pytest.skip("nothing can be kept from being deleted here")

    def with_wrong_credentials(self) -> Any:
        pytest.skip("there are no credentials")

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return a connector of which the server is at `address` ("host:port") and which waits for a second at most."""
        pytest.skip("there is no server")


class Files(Kind):
    transport: tuple[str, ...] = ("os.open", "os.unlink", "os.scandir", "os.stat", "os.rmdir")
    batches: tuple[str, ...] = ("apps.locations.connectors.files.ERASED_PER_PROGRESS",)

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.place = FilesPlace(folder)
        self.connector: Any = self.place.connector

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.place.put(f"users/{user_id}/{name}", data)

    def everything(self) -> dict[str, str]:
        return self.place.everything()

    def again(self) -> Any:
        return FilesConnector({"root": str(self.place.root), "templates": ["users/{user_id}/", "mail/{email}.json"]})

    def lost(self) -> BaseException:
        return OSError(errno.EIO, "the disk is gone")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        """An immutable file resists root as well; some file systems know no such thing."""
        path = str(self.place.root / "users" / user_id / name)
        if os.geteuid() != 0 or subprocess.run([CHATTR, "+i", path], capture_output=True, check=False).returncode:
            pytest.skip("this file system cannot make a file immutable")
        try:
            yield
        finally:
            subprocess.run([CHATTR, "-i", path], check=True)


class S3(Kind):
    transport: tuple[str, ...] = ("botocore.httpsession.URLLib3Session.send",)
    batches: tuple[str, ...] = ("apps.locations.connectors.s3.DELETE_LIMIT",)
    names = KEYS
    has_strict_signatures = True

    def __init__(self, endpoint_url: str, access_key: str, secret_key: str) -> None:
        self.place: S3Place = new_bucket(endpoint_url, access_key, secret_key, locked=True)
        self.connector: Any = self.place.connector

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.place.put(f"users/{user_id}/{name}", data)

    def everything(self) -> dict[str, str]:
        return self.place.everything()

    def again(self) -> S3Connector:
        return S3Connector(self.place.config)

    def lost(self) -> ConnectionClosedError:
        return ConnectionClosedError(endpoint_url="http://bucket.example")

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        which: dict[str, Any] = {"Bucket": self.place.bucket, "Key": f"users/{user_id}/{name}"}
        which["VersionId"] = self.place.client.head_object(**which)["VersionId"]
        self.place.client.put_object_legal_hold(**which, LegalHold={"Status": "ON"})
        yield
        self.place.client.put_object_legal_hold(**which, LegalHold={"Status": "OFF"})

    def with_wrong_credentials(self) -> S3Connector:
        if not self.has_strict_signatures:
            pytest.skip("this server takes every signature")
        return S3Connector(self.place.config | {"secret_key": "wrong"})

    def at(self, address: str, monkeypatch: pytest.MonkeyPatch) -> S3Connector:
        monkeypatch.setattr("apps.locations.connectors.s3.READ_TIMEOUT", 0.2)
        return S3Connector(self.place.config | {"endpoint_url": f"http://{address}"})


class Moto(S3):
    many = many_items(90)  # it is slow, and Ceph takes the large test
    names = [name for name in KEYS if "\n" not in name]  # it cannot take a key with a line break
    has_strict_signatures = False


def _ceph(request: pytest.FixtureRequest) -> S3:
    gateway = request.getfixturevalue("ceph_gateway")
    return S3(gateway.endpoint_url, gateway.access_key, gateway.secret_key)


KINDS: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {
    "files": lambda request: Files(request.getfixturevalue("tmp_path") / "files"),
    "s3-moto": lambda request: Moto(request.getfixturevalue("moto_address"), "test", "test"),
    "s3-ceph": _ceph,
}
NEED_SERVICES = {"s3-ceph"}  # these carry the mark `services`
