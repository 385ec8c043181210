"""A server that redirects gets nobody's credentials sent on: not by our own client, and not by a provider's SDK."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from apps.locations.connectors.azure import AzureConnector
from apps.locations.connectors.gcs import GcsConnector
from apps.locations.connectors.s3 import S3Connector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import LocationError

ADA = Identity(uuid4(), None, None, (("user_id", "4"),))
FOUND = {"templates": ["people/{user_id}/"]}


class Server(ThreadingHTTPServer):
    """Answers every request with one status, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, status: int, to: str = "") -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                if to:
                    self.send_header("Location", f"{to}{self.path}")
                    self.send_header("x-amz-bucket-region", "eu-central-1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://localhost:{self.server_port}"


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    server = Server(403)
    yield server
    server.shutdown()
    server.server_close()


def s3(address: str) -> Any:
    return S3Connector({"bucket": "b", "endpoint_url": address, "access_key": "AK", "secret_key": "s" * 20} | FOUND)


def azure(address: str) -> Any:
    key = base64.b64encode(b"k" * 32).decode()
    return AzureConnector(
        {"account": "acc", "container": "c", "endpoint_url": f"{address}/acc", "account_key": key} | FOUND
    )


def azure_with_a_signed_address(address: str) -> Any:
    signed = "sv=2024-01-01&sp=rwdl&sig=c2VjcmV0"  # goes with each request in the address itself
    return AzureConnector(
        {"account": "acc", "container": "c", "endpoint_url": f"{address}/acc", "account_key": signed} | FOUND
    )


def gcs(address: str) -> Any:
    return GcsConnector({"bucket": "b", "endpoint_url": address} | FOUND)


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("make", [s3, azure, azure_with_a_signed_address, gcs])
def test_no_credentials_follow_a_redirect(make: Any, status: int, elsewhere: Server) -> None:
    first = Server(status, elsewhere.address.replace("localhost", "127.0.0.1"))
    try:
        with pytest.raises(LocationError):
            list(make(first.address).find(ADA, Scope()))
        assert first.asked
        assert elsewhere.asked == []  # neither credentials nor whom it is about
    finally:
        first.shutdown()
        first.server_close()
