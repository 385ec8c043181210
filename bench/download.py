"""Writing and downloading one large archive: the memory of the worker and of the real ASGI server.

python -m bench.download [MEGABYTES, default 1000] [--database postgresql://…] [--keys-database postgresql://…]

The archive is made of noise, so that it is as large as its content. One process writes it as the engine does, batch by
batch; uvicorn serves it through the site's middleware; a client takes it whole, then breaks off and goes on by Range.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from bench.installation import ROOT, call, environment, migrate

AIM_MIB = 200
MEBIBYTE = 1 << 20


def write(megabytes: int) -> dict[str, Any]:
    """Write and publish an archive in batches of 50 MB; return its id, the time and the peak of this process."""
    from django.db import transaction

    from apps.archives import services
    from apps.archives.writer import BatchWriter
    from apps.audit.actors import Actor
    from apps.audit.handles import new_handle
    from apps.locations.contract import Entry

    began = time.perf_counter()
    archive = services.create_archive(
        request_id=uuid.uuid4(), subject_id=uuid.uuid4(), handle=new_handle(), language="en", formats=["html", "json"]
    )
    step, token, left, number = uuid.uuid4(), uuid.uuid4(), megabytes, 0
    while left > 0:
        batch = min(50, left)
        writer = BatchWriter(archive, step, token)
        writer.write(Entry("large.bin", "application/octet-stream", _noise(batch * 9 // 10), "", part="piece"))
        for _ in range(batch):
            number += 1
            writer.write(Entry(f"attachments/{number:06}.bin", "application/octet-stream", (os.urandom(100_000),), ""))
        left -= batch
        if left <= 0:
            writer.write(Entry("large.bin", "application/octet-stream", (), "", part="last"))
        writer.close()
        with transaction.atomic():
            writer.commit()
    services.finish_archive(archive, step_id=uuid.uuid4(), token=token, disclosure={}, missing=[])
    with transaction.atomic():
        services.publish(archive, actor=Actor.command_line())
    taken = time.perf_counter() - began
    return {"archive": str(archive.pk), "size": archive.size, "seconds": taken, "peak_mib": own_peak()}


def _noise(megabytes: int) -> Any:
    return (os.urandom(1_000_000) for _ in range(megabytes))


def own_peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def application() -> Any:
    """Make the site's ASGI application, with one address instead of its own: the archive of the environment."""
    import django

    django.setup()
    from django.conf import settings
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django.urls import path

    from apps.archives.http import archive_response
    from apps.archives.models import Archive
    from config.asgi import application as site

    def download(request: HttpRequest) -> HttpResponseBase:
        return archive_response(request, Archive.objects.get(pk=os.environ["BENCH_ARCHIVE"]))

    globals()["urlpatterns"] = [path("archive.zip", download)]
    settings.ROOT_URLCONF = "bench.download"
    return site


class Server:
    """uvicorn in a process of its own."""

    def __init__(self, env: dict[str, str], archive: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "--factory", "bench.download:application"]
        options = ["--port", str(self.port), "--log-level", "error", "--lifespan", "off"]
        self.process = subprocess.Popen([*command, *options], cwd=ROOT, env=env | {"BENCH_ARCHIVE": archive})

    def wait(self) -> None:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError("the server did not come up")

    def peak_mib(self) -> float:
        """Return the most memory that the server ever held (VmHWM)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmHWM")

    def download(self, headers: dict[str, str], most: int | None = None) -> tuple[int, int, Any]:
        """Take the archive, or `most` bytes of it; return the status, how many came and their SHA-256."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/archive.zip", headers=headers)
        response = connection.getresponse()
        digest, taken = hashlib.sha256(), 0
        while (most is None or taken < most) and (chunk := response.read(MEBIBYTE)):
            digest.update(chunk)
            taken += len(chunk)
        connection.close()
        return response.status, taken, digest

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)


def measure(megabytes: int, database: str = "", keys_database: str = "") -> bool:
    env = environment(database, keys_database)
    migrate(env)
    written = call(env, "bench.download", "--write", str(megabytes))
    server = Server(env, written["archive"])
    try:
        server.wait()
        server.download({}, most=MEBIBYTE)  # a client that leaves at once; also warms up
        before, began = server.peak_mib(), time.perf_counter()
        status, taken, digest = server.download({})
        seconds, peak = time.perf_counter() - began, server.peak_mib()
        half = written["size"] // 2
        resumed = server.download({"Range": f"bytes={half}-"})
    finally:
        server.stop()
    speed = taken / seconds / 1e6
    whole = (status, taken) == (200, written["size"]) and resumed[:2] == (206, written["size"] - half)
    print(
        f"archive of {written['size'] / 1e6:,.0f} MB on {'PostgreSQL' if database else 'SQLite'} (aim: {AIM_MIB} MiB)"
    )
    print(f"  written by the worker    {written['seconds']:7.2f} s   {written['peak_mib']:5.0f} MiB")
    print(f"  served by uvicorn        {seconds:7.2f} s   {peak:5.0f} MiB   {speed:,.0f} MB/s, {before:.0f} MiB before")
    print(f"  whole, and resumed whole {whole}   SHA-256 {digest.hexdigest()[:16]}", flush=True)
    return whole and max(peak, written["peak_mib"]) <= AIM_MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("megabytes", type=int, nargs="?", default=1000)
    parser.add_argument("--database", default="")
    parser.add_argument("--keys-database", default="")
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        import django

        django.setup()
        print(json.dumps(write(options.megabytes)))
        return
    sys.exit(0 if measure(options.megabytes, options.database, options.keys_database) else 1)


if __name__ == "__main__":
    main()
