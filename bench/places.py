"""Find, read and erase the objects of one person in each kind of place, against a loop by hand with the provider's client.

python -m bench.places [OBJECTS]     (servers on loopback; both sides talk to the same one, so only our own work differs)
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AIM = 1.5
SIZE = 1024


class Side:
    """One way to do it: three acts, timed."""

    def __init__(self, find: Callable[[], int], read: Callable[[], int], erase: Callable[[], int]) -> None:
        self.acts = {"find": find, "read": read, "erase": erase}

    def run(self) -> dict[str, tuple[float, int]]:
        taken = {}
        for name, act in self.acts.items():
            began = time.perf_counter()
            count = act()
            taken[name] = (time.perf_counter() - began, count)
        return taken


def ours(connector: Any) -> Side:
    from apps.locations.contract import Identity, Scope

    who, scope = Identity(uuid.uuid4(), None, None, (("user_id", "4"),)), Scope()

    def read() -> int:
        return sum(
            len(chunk)
            for entry in connector.export(who, scope, "")
            if entry.name != "index.jsonl"
            for chunk in entry.chunks
        )

    return Side(
        lambda: sum(1 for _item in connector.find(who, scope)),
        read,
        lambda: sum(progress.erased for progress in connector.erase(who, scope, "")),
    )


def fill(put: Callable[[str], Any], count: int) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, (f"users/4/{number:06}.txt" for number in range(count))))


def files(count: int, folder: Path) -> Iterator[tuple[str, Side]]:
    from apps.locations.connectors.files import FilesConnector

    (folder / "users/4").mkdir(parents=True)
    base = folder / "users/4"
    put = lambda name: (folder / name).write_bytes(b"x" * SIZE)  # noqa: E731

    def erase() -> int:
        names = list(os.scandir(base))
        for entry in names:
            Path(entry.path).unlink()
        return len(names)

    fill(put, count)
    yield (
        "by hand",
        Side(
            lambda: sum(1 for entry in os.scandir(base) if entry.stat()),
            lambda: sum(len(Path(entry.path).read_bytes()) for entry in os.scandir(base)),
            erase,
        ),
    )
    fill(put, count)
    yield "files", ours(FilesConnector({"root": str(folder), "templates": ["users/{user_id}/"]}))


def s3(count: int, gateway: Any) -> Iterator[tuple[str, Side]]:
    from apps.locations.connectors.s3 import S3Connector
    from tests.contracts.places import new_bucket

    place = new_bucket(gateway.endpoint_url, gateway.access_key, gateway.secret_key)
    client, bucket = place.client, place.bucket
    pages = functools.partial(client.get_paginator("list_objects_v2").paginate, Bucket=bucket, Prefix="users/4/")

    def erase() -> int:
        gone = 0
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="users/4/"):
            wanted = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in page.get("Versions", [])]
            client.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
            gone += len(wanted)
        return gone

    put = lambda name: client.put_object(Bucket=bucket, Key=name, Body=b"x" * SIZE)  # noqa: E731
    keys = lambda: (one["Key"] for page in pages() for one in page.get("Contents", []))  # noqa: E731
    fill(put, count)
    yield (
        "by hand",
        Side(
            lambda: sum(1 for _key in keys()),
            lambda: sum(len(client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys()),
            erase,
        ),
    )
    fill(put, count)
    yield "s3 (Ceph)", ours(S3Connector(place.config))


def gcs(count: int, server: Any) -> Iterator[tuple[str, Side]]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    from apps.locations.connectors.gcs import GcsConnector

    server.needs_token = False
    options = {"api_endpoint": server.address}
    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
    bucket = client.bucket("bucket")
    listed = functools.partial(client.list_blobs, "bucket", prefix="users/4/")

    def erase() -> int:
        found, gone = list(listed(versions=True)), 0
        for start in range(0, len(found), 100):
            with client.batch(raise_exception=False):
                for blob in found[start : start + 100]:
                    bucket.delete_blob(blob.name, generation=blob.generation)
            gone += len(found[start : start + 100])
        return gone

    put = lambda name: server.put(name, b"x" * SIZE)  # noqa: E731
    fill(put, count)
    yield (
        "by hand",
        Side(
            lambda: sum(1 for _blob in listed()),
            lambda: sum(len(blob.download_as_bytes(raw_download=True, checksum=None)) for blob in listed()),
            erase,
        ),
    )
    fill(put, count)
    config = {"bucket": "bucket", "endpoint_url": server.address, "templates": ["users/{user_id}/"]}
    yield "gcs (stand-in)", ours(GcsConnector(config))


def azure(count: int, server: Any) -> Iterator[tuple[str, Side]]:
    from tests.contracts.kinds_clouds import Azure

    kind = Azure(server)
    client = kind.client
    listed = functools.partial(client.list_blobs, name_starts_with="users/4/")

    def erase() -> int:
        found, gone = [one.name for one in listed()], 0
        for start in range(0, len(found), 256):
            gone += len(list(client.delete_blobs(*found[start : start + 256], delete_snapshots="include")))
        return gone

    put = lambda name: client.upload_blob(name, b"x" * SIZE)  # noqa: E731
    fill(put, count)
    yield (
        "by hand",
        Side(
            lambda: sum(1 for _blob in listed()),
            lambda: sum(len(client.download_blob(blob.name).readall()) for blob in listed()),
            erase,
        ),
    )
    fill(put, count)
    yield "azure (Azurite)", ours(kind.connector)


def sftp(count: int, server: Any) -> Iterator[tuple[str, Side]]:
    from apps.locations.connectors.sftp import SftpConnector, open_storage

    folder = server.root / "users/4"
    folder.mkdir(parents=True)
    config = {
        "host": "127.0.0.1", "port": server.port, "username": server.user, "private_key": server.private_key,
        "host_key": server.host_key, "root": str(server.root), "templates": ["users/{user_id}/"],
    }  # fmt: skip
    client = open_storage(config).sftp
    put = lambda name: (server.root / name).write_bytes(b"x" * SIZE)  # noqa: E731

    def read() -> int:
        size = 0
        for name in client.listdir(str(folder)):
            with client.open(f"{folder}/{name}", "rb") as file:
                size += len(file.read())
        return size

    def erase() -> int:
        names = client.listdir(str(folder))
        for name in names:
            client.remove(f"{folder}/{name}")
        return len(names)

    fill(put, count)
    yield "by hand", Side(lambda: len(client.listdir_attr(str(folder))), read, erase)
    fill(put, count)
    yield "sftp (OpenSSH)", ours(SftpConnector(config))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    logging.disable(logging.WARNING)
    from tests.azurite import program, running_azurite
    from tests.ceph import missing_programs, running_gateway
    from tests.contracts.gcs_standin import GcsStandIn
    from tests.services import free_port
    from tests.sftp import running_sftp

    good = True
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kinds: list[Callable[[], Iterator[tuple[str, Side]]]] = [lambda: files(count, folder / "files")]
        if missing_programs():
            print("Ceph is not installed: S3 is left out")
        else:
            gateway = stack.enter_context(running_gateway(folder / "ceph", free_port()))
            kinds.append(lambda: s3(count, gateway))
        kinds.append(lambda: gcs(count, GcsStandIn()))
        if program() is None:
            print("Azurite is not installed: Azure is left out")
        else:
            server = stack.enter_context(running_azurite(folder))
            kinds.append(lambda: azure(count, server))
        if shutil.which("/usr/sbin/sshd") is None:
            print("openssh-server is not installed: SFTP is left out")
        else:
            kinds.append(lambda: sftp(count, stack.enter_context(running_sftp(folder))))
        print(
            f"{count:,} objects of {SIZE:,} bytes of one person: seconds, and how many times the loop by hand (aim {AIM})"
        )
        for kind in kinds:
            good &= table(kind(), count)
    sys.exit(0 if good else 1)


def table(sides: Iterator[tuple[str, Side]], count: int) -> bool:
    """Print one kind; False when it missed the aim or did not do it whole."""
    _name, by_hand = next(sides)
    floor = by_hand.run()
    name, side = next(sides)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = side.run()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    whole = {"find": count, "read": count * SIZE, "erase": count}
    cells = [f"{act} {seconds:6.2f} ({seconds / floor[act][0]:.2f} x)" for act, (seconds, _done) in taken.items()]
    ratio = sum(seconds for seconds, _done in taken.values()) / sum(seconds for seconds, _done in floor.values())
    is_whole = all(done == whole[act] for act, (_seconds, done) in taken.items())
    print(
        f"  {name:16} {'  '.join(cells)}  together {ratio:.2f} x  memory +{grown:.0f} MiB{'' if is_whole else '  NOT WHOLE'}",
        flush=True,
    )
    return ratio <= AIM and is_whole


if __name__ == "__main__":
    main()
