"""A strict stand-in for Vault's Transit engine: the paths that we use, with the answers of Vault 1.18.

What Vault refuses it refuses with the same status and words: no token, a sealed server, a key that is not there (404
without a word when read, 400 elsewhere), deletion that is not allowed, a version below min_decryption_version or trimmed.
Versions are trimmed for good only below min_decryption_version and min_available_version, as there.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.sealing.aead import new_key

TOKEN = "hvs.of-a-test"
CIPHERTEXT = re.compile(r"vault:v(\d+):([A-Za-z0-9+/=]+)")


class Refused(Exception):
    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status, self.errors = status, list(errors)


@dataclass
class TransitKey:
    versions: dict[int, bytes] = field(default_factory=dict)
    min_decryption_version: int = 1
    min_encryption_version: int = 0
    min_available_version: int = 0
    deletion_allowed: bool = False

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        self.versions[max(self.versions, default=0) + 1] = new_key()

    def seal(self, plain: bytes) -> str:
        version, nonce = max(self.versions), new_key()[:12]
        return (
            f"vault:v{version}:"
            + base64.b64encode(nonce + AESGCM(self.versions[version]).encrypt(nonce, plain, b"")).decode()
        )

    def unseal(self, text: str) -> bytes:
        found = CIPHERTEXT.fullmatch(text)
        if found is None:
            raise Refused(400, "invalid ciphertext: no prefix")
        version, raw = int(found[1]), base64.b64decode(found[2])
        if version < self.min_decryption_version:
            raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
        if version not in self.versions:
            raise Refused(400, "invalid ciphertext: version is too new")
        try:
            return AESGCM(self.versions[version]).decrypt(raw[:12], raw[12:], b"")
        except InvalidTag:
            raise Refused(400, "invalid ciphertext: unable to decrypt") from None

    def trim(self, min_available_version: int) -> None:
        if min_available_version > min(self.min_decryption_version, self.min_encryption_version):
            raise Refused(
                400, "minimum available version cannot be higher than the minimum decryption or encryption version"
            )
        self.min_available_version = min_available_version
        self.versions = {number: key for number, key in self.versions.items() if number >= min_available_version}


class Vault:
    """The state of the stand-in; `down` answers like a sealed server, `answer` breaks what it says."""

    def __init__(self) -> None:
        self.keys: dict[str, TransitKey] = {}
        self.token, self.mount = TOKEN, "transit"
        self.is_sealed = False
        self.answer: bytes | None = None
        self.keeps_deleted = False
        self.calls: list[str] = []

    def handle(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.calls.append(f"{method} {path}")
        if self.is_sealed:
            raise Refused(503, "Vault is sealed")
        if token != self.token:
            raise Refused(403, "permission denied")
        prefix = f"/v1/{self.mount}/"
        if not path.startswith(prefix):
            raise Refused(404, f"no handler for route '{path.removeprefix('/v1/')}'")
        parts = path.removeprefix(prefix).split("/")
        match method, parts:
            case "POST", ["keys", name]:
                if body != {"type": "aes256-gcm96", "exportable": False}:
                    raise Refused(400, "unknown key type")
                self.keys.setdefault(name, TransitKey())
                return 200, {"data": {"name": name}}
            case "GET", ["keys", name]:
                key = self.keys.get(name)
                if key is None:
                    raise Refused(404)
                return 200, {"data": {"name": name, "deletion_allowed": key.deletion_allowed}}
            case "POST", ["keys", name, "config"]:
                key = self._key(name, f"no existing key named {name} could be found")
                for field_name, value in body.items():
                    setattr(key, field_name, value)
                return 200, {"data": {"name": name}}
            case "POST", ["keys", name, "trim"]:
                self._key(name, "invalid key name").trim(body["min_available_version"])
                return 204, None
            case "DELETE", ["keys", name]:
                key = self._key(name, f"error deleting policy {name}: could not delete key; not found")
                if not key.deletion_allowed:
                    raise Refused(400, f"error deleting policy {name}: deletion is not allowed for this key")
                if not self.keeps_deleted:
                    del self.keys[name]
                return 204, None
            case "POST", ["datakey", "wrapped", name]:
                if body.get("bits") != 256:
                    raise Refused(400, "invalid bit length")
                return 200, {"data": {"ciphertext": self._key(name, "encryption key not found").seal(new_key())}}
            case "POST", ["decrypt", name]:
                plain = self._key(name, "encryption key not found").unseal(body["ciphertext"])
                return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        raise Refused(405, "unsupported operation")

    def _key(self, name: str, words: str) -> TransitKey:
        if name not in self.keys:
            raise Refused(400, words)
        return self.keys[name]


@contextmanager
def running_vault():
    """Serve on a free port of loopback; yields the state and the address."""
    vault = Vault()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            try:
                status, told = vault.handle(self.command, self.path, self.headers.get("X-Vault-Token", ""), body)
            except Refused as refused:
                status, told = refused.status, {"errors": refused.errors}
            content = b"" if told is None else json.dumps(told).encode()
            if vault.answer is not None:
                content = vault.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield vault, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
