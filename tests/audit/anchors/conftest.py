"""A checkpoint, and anchors as the environment names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from apps.audit import anchors, notes, sequencer
from apps.audit.anchors import Placed
from config.anchors import anchors as read_environment


@pytest.fixture
def name_anchors(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Placed]]:
    """Name anchors as ANCHORS does."""

    def name_anchors(*addresses: str) -> list[Placed]:
        monkeypatch.setenv("ANCHORS", ",".join(addresses))
        settings.ANCHORS = read_environment("ANCHORS")
        return anchors.placed()

    return name_anchors


def signed(size: int, root: bytes = b"r" * 32) -> str:
    """A checkpoint that the log's key signed, of any size."""
    return notes.sign_checkpoint(notes.CheckpointText("testserver/audit/log", size, root), sequencer.signing_key())


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
