"""Stands in for Google Cloud Storage's JSON API with what the emulator ignores: generations, holds, retention, soft delete.

It is strict: a query parameter that it does not know, a batch of more than 100 calls or a call without a token of its own
making is a violation and an error. As the documentation of the JSON API says it: objects list, get, delete, batch.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import google_crc32c
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.contracts.standin import Answer, Asked, StandIn

MOST_IN_BATCH = 100
PAGE = 1000
KNOWN = {"alt", "fields", "generation", "maxResults", "pageToken", "permissions", "prefix", "prettyPrint", "projection",
         "softDeleted", "startOffset", "versions"}  # fmt: skip


@dataclass
class Kept:
    """One generation of an object."""

    name: str
    generation: int
    data: bytes
    metadata: dict[str, str] = field(default_factory=dict)
    is_live: bool = True
    hold: bool = False
    retained_until: datetime | None = None
    gone_at: datetime | None = None  # soft-deleted, and gone for good then

    def resource(self) -> dict[str, Any]:
        resource: dict[str, Any] = {
            "name": self.name, "generation": str(self.generation), "size": str(len(self.data)), "bucket": "bucket",
            "updated": "2026-05-01T12:00:00Z", "contentType": "text/plain", "metadata": self.metadata,
            "temporaryHold": self.hold, "crc32c": base64.b64encode(google_crc32c.Checksum(self.data).digest()).decode(),
        }  # fmt: skip
        if not self.is_live:
            resource["timeDeleted"] = "2026-05-02T12:00:00Z"
        if self.retained_until:
            resource["retentionExpirationTime"] = _written(self.retained_until)
        if self.gone_at:
            resource["hardDeleteTime"] = _written(self.gone_at)
        return resource


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class GcsStandIn(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Kept] = []
        self.bucket: dict[str, Any] = {"name": "bucket"}
        self.permissions = [
            "storage.objects.list",
            "storage.objects.get",
            "storage.objects.delete",
            "storage.buckets.get",
        ]
        self.soft_delete_days = 0
        self.has_versions = True
        self.needs_token = True
        self.uploads: dict[str, tuple[str, bytes]] = {}  # those that have begun: name, and what came so far
        self._next = 1

    # what tests use

    def key(self) -> str:
        """Return the key of a service account that signs in here."""
        private = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        account = {"type": "service_account", "client_email": "habeas@example.org", "private_key": private.decode()}
        return json.dumps(account | {"token_uri": f"{self.address}/token", "project_id": "p"})

    def put(self, name: str, data: bytes, **values: Any) -> Kept:
        for kept in [one for one in self.kept if one.name == name and one.is_live]:
            self._retire(kept)
        self.kept.append(Kept(name, self._next, data, **values))
        self._next += 1
        return self.kept[-1]

    def everything(self) -> dict[str, str]:
        return {
            f"{one.name}#{one.generation}": hashlib.sha256(one.data).hexdigest() for one in self.kept if not one.gone_at
        }

    # the API

    def serve(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            if b"grant_type" not in asked.body:
                return Answer(400, {"error": "invalid_grant"})
            return Answer(200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})
        if self.needs_token and asked.headers.get("Authorization") != "Bearer token":
            return self._error(401)
        if asked.path == "/upload/storage/v1/b/bucket/o":
            return self._upload(asked)
        if asked.path == "/batch/storage/v1":
            return self._batch(asked)
        return self._call(asked.method, asked.target, dict(asked.headers))

    def _call(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if unknown := set(query) - KNOWN:
            self.violations.append(f"unknown parameters {unknown}")
            return self._error(400)
        path = parts.path.removeprefix("/download")
        if path == "/storage/v1/b/bucket":
            soft = {"softDeletePolicy": {"retentionDurationSeconds": str(self.soft_delete_days * 86400)}}
            return Answer(200, self.bucket | soft | {"versioning": {"enabled": self.has_versions}})
        if path == "/storage/v1/b/bucket/iam/testPermissions":
            return Answer(200, {"permissions": self.permissions})
        if path == "/storage/v1/b/bucket/o":
            return self._list(query)
        name = unquote(path.removeprefix("/storage/v1/b/bucket/o/"))
        if not path.startswith("/storage/v1/b/bucket/o/"):
            return self._error(404)
        found = self._find(name, query)
        if found is None:
            return self._error(404)
        if method == "DELETE":
            return self._delete(found, is_exact="generation" in query)
        return self._read(found, headers) if query.get("alt") == "media" else Answer(200, found.resource())

    def _list(self, query: dict[str, str]) -> Answer:
        def is_wanted(one: Kept) -> bool:
            if query.get("softDeleted", "").lower() == "true":
                return one.gone_at is not None
            return one.gone_at is None and (one.is_live or query.get("versions", "").lower() == "true")

        found = [one for one in self.kept if is_wanted(one) and one.name.startswith(query.get("prefix", ""))]
        found = [one for one in found if one.name >= query.get("startOffset", "")]
        found.sort(key=lambda one: (one.name, one.generation))
        after = tuple(json.loads(query["pageToken"])) if "pageToken" in query else ("", 0)
        rest = [one for one in found if (one.name, one.generation) > after]
        size = min(int(query.get("maxResults", PAGE)), PAGE)
        page: dict[str, Any] = {"items": [one.resource() for one in rest[:size]]}
        if len(rest) > size:
            page["nextPageToken"] = json.dumps([rest[size - 1].name, rest[size - 1].generation])
        return Answer(200, page)

    def _find(self, name: str, query: dict[str, str]) -> Kept | None:
        for one in self.kept:
            if one.name == name and not one.gone_at:
                wanted = query.get("generation")
                if str(one.generation) == wanted or (wanted is None and one.is_live):
                    return one
        return None

    def _delete(self, found: Kept, *, is_exact: bool = True) -> Answer:
        """Where generations are kept, a deletion that names none only makes the live one noncurrent."""
        if found.hold or (found.retained_until and found.retained_until > datetime.now(UTC)):
            return self._error(403)
        if self.has_versions and not is_exact:
            found.is_live = False
            return Answer(204)
        if self.soft_delete_days:
            found.gone_at, found.is_live = datetime.now(UTC) + timedelta(days=self.soft_delete_days), False
        else:
            self.kept.remove(found)
        return Answer(204)

    def _retire(self, kept: Kept) -> None:
        """What is overwritten becomes noncurrent, or goes like something deleted."""
        kept.is_live = False
        if not self.has_versions:
            self._delete(kept)

    def _read(self, found: Kept, headers: dict[str, str]) -> Answer:
        wanted = {name.lower(): value for name, value in headers.items()}.get("range", "")
        if not wanted:
            return Answer(200, found.data)
        start, _dash, stop = wanted.removeprefix("bytes=").partition("-")
        part = found.data[int(start) : int(stop) + 1]
        return Answer(206, part, {"content-range": f"bytes {start}-{int(start) + len(part) - 1}/{len(found.data)}"})

    def _upload(self, asked: Asked) -> Answer:
        """Take an object whole with its description, or in pieces of which nothing is seen before the last one."""
        kind = asked.query.get("uploadType")
        if kind == "multipart":
            head = f"Content-Type: {asked.headers['Content-Type']}\r\n\r\n".encode()
            parts: Any = BytesParser().parsebytes(head + asked.body).get_payload()
            kept = self.put(json.loads(parts[0].get_payload())["name"], parts[1].get_payload(decode=True))
            return Answer(200, kept.resource())
        if kind != "resumable":
            self.violations.append(f"an upload of type {kind}")
            return self._error(400)
        if asked.method == "POST":
            number = str(len(self.uploads))
            self.uploads[number] = json.loads(asked.body)["name"], b""
            where = f"{self.address}{asked.path}?uploadType=resumable&upload_id={number}"
            return Answer(200, {}, {"location": where})
        name, before = self.uploads[asked.query["upload_id"]]
        _unit, _space, said = asked.headers["Content-Range"].partition(" ")
        data, total = before + asked.body, said.partition("/")[2]
        self.uploads[asked.query["upload_id"]] = name, data
        if total == "*":
            return Answer(308, b"", {"range": f"bytes=0-{len(data) - 1}"})
        return Answer(200, self.put(name, data).resource())

    def _batch(self, asked: Asked) -> Answer:
        head = f"Content-Type: {asked.headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = BytesParser().parsebytes(head + asked.body).get_payload()
        if len(parts) > MOST_IN_BATCH:
            self.violations.append(f"{len(parts)} calls in a batch")
            return self._error(400)
        answers = []
        for number, part in enumerate(parts):
            method, url, _version = part.get_payload().split("\r\n", 1)[0].split("\n", 1)[0].split(" ", 2)
            answer = self._call(method, url[url.index("/storage/") :], {})
            body = answer.as_bytes().decode()
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n"
                f"HTTP/1.1 {answer.status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                f"{body}\r\n"
            )
        return Answer(
            200, ("".join(answers) + "--batch--").encode(), {"content-type": "multipart/mixed; boundary=batch"}
        )

    def _error(self, status: int) -> Answer:
        return Answer(status, {"error": {"code": status, "message": "users/4/secret name"}})
