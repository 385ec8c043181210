"""Starts a throw-away Azurite: Microsoft's own emulator of Azure Blob Storage (npm package azurite), in memory, on loopback.

`azurite-blob` is looked for on the PATH and in the folder that AZURITE names (the prefix of an npm install).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services import free_port, not_here, wait_for

ACCOUNT = "devstoreaccount1"
KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's own, public
)


@dataclass(frozen=True)
class Azurite:
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"


def program() -> str | None:
    prefix = os.environ.get("AZURITE")
    inside = Path(prefix) / "node_modules" / ".bin" / "azurite-blob" if prefix else None
    return str(inside) if inside and inside.exists() else shutil.which("azurite-blob")


@contextlib.contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    """Start it; everything it holds is in its memory."""
    port = free_port()
    server = subprocess.Popen(
        [program() or "azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent",
         "--skipApiVersionCheck", "--disableTelemetry"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(port)
        yield Azurite(port)
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    if program() is None:
        not_here("azurite")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
