"""A public address, of somebody else's: a checkpoint is put there, and everybody can read it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from apps.audit.anchors import TIMEOUT
from apps.audit.anchors.http import ask


class AddressAnchor:
    can_be_read = True

    def __init__(self, *, url: str, method: str = "PUT", token: str = "") -> None:
        self._url, self._method = url, method
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def publish(self, note: str) -> bytes:
        headers = self._headers | {"Content-Type": "text/plain; charset=utf-8"}
        with httpx.Client(timeout=TIMEOUT) as client:
            ask(client, self._method, self._url, content=note.encode(), headers=headers)
        return b""

    def kept(self) -> Iterator[str]:
        """Read as everybody does: without the token."""
        with httpx.Client(timeout=TIMEOUT) as client:
            body = ask(client, "GET", self._url, headers={"Cache-Control": "no-cache"})
        if body:
            yield body.decode("utf-8", "replace")
