"""A store of objects, or an API, that turns hostile takes neither memory nor time without end, and no other account's keys."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apps.locations import answers, deadlines
from apps.locations.connectors import s3 as s3_module
from apps.locations.connectors.azure import AzureConnector
from apps.locations.connectors.gcs import GcsConnector
from apps.locations.connectors.http import HTTPConnector
from apps.locations.connectors.lanying import LanyingConnector
from apps.locations.connectors.openai import OpenAIConnector
from apps.locations.connectors.s3 import S3Connector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.objects import Stored
from tests.locations.rogue import over_http, page, rogue, without_end

ADA = Identity(uuid4(), None, None, (("user_id", "4"),))
FOUND = {"templates": ["people/{user_id}/"]}
LIMIT = 1024 * 1024
LONGEST = 10.0  # seconds
DRIP = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 1000000\r\n\r\n<"


def s3(address: str, **more: Any) -> S3Connector:
    keys = {"endpoint_url": address, "access_key": "AK", "secret_key": "s" * 20}
    return S3Connector({"bucket": "b"} | keys | FOUND | more)


def gcs(address: str, **more: Any) -> GcsConnector:
    return GcsConnector({"bucket": "b", "endpoint_url": address} | FOUND | more)


def azure(address: str) -> AzureConnector:
    key = base64.b64encode(b"k" * 32).decode()
    return AzureConnector(
        {"account": "a", "container": "c", "endpoint_url": f"{address}/a", "account_key": key} | FOUND
    )


def http(address: str) -> HTTPConnector:
    keys = {"key_name": "k", "algorithm": "hmac-sha256", "secret": "s" * 32, "identities": ["user_id"]}
    return HTTPConnector({"address": address} | keys)


def lanying(address: str) -> LanyingConnector:
    return LanyingConnector({"api_endpoint": address, "app_id": "a", "access_token": "t", "identity": "user_id"})


def openai(address: str) -> OpenAIConnector:
    return OpenAIConnector({"api_key": "k", "base_url": address, "metadata_key": "user_id", "identity": "user_id"})


CLOUDS = pytest.mark.parametrize("kind", [s3, gcs, azure])
Kind = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST_ANSWER", LIMIT)
    monkeypatch.setattr(deadlines, "LARGEST_ANSWER", LIMIT)
    monkeypatch.setattr(answers, "HEAD", 1024)
    monkeypatch.setattr(s3_module, "TRIES", 1)


def refusal(kind: Kind, answer: Callable[[int, bytes], Iterable[bytes]]) -> LocationError:
    """Return what looking for Ada ends with, when a server answers so."""
    with rogue(over_http(answer)) as server, pytest.raises(LocationError) as raised:
        list(kind(server.address).find(ADA, Scope()))
    assert server.heard
    return raised.value


@pytest.mark.parametrize("kind", [s3, gcs, azure, openai])
def test_a_listing_without_end_is_broken_off_before_it_fills_the_memory(kind: Kind) -> None:
    def answer(_number: int, _head: bytes) -> Iterator[bytes]:
        return without_end("application/json" if kind in (gcs, openai) else "application/xml")

    with rogue(over_http(answer)) as server:
        with pytest.raises(Refused):
            list(kind(server.address).find(ADA, Scope()))
        assert server.sent < 20 * LIMIT  # what lies in buffers of the system is not ours


@CLOUDS
def test_a_head_without_end_is_broken_off(kind: Kind) -> None:
    def answer(_number: int, _head: bytes) -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000

    assert isinstance(refusal(kind, answer), Refused)


@CLOUDS
def test_a_server_that_drips_is_left_alone(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "PATIENCE_SECONDS", 0.15)

    def answer(_number: int, _head: bytes) -> Iterator[bytes]:
        yield DRIP
        while True:
            time.sleep(0.02)
            yield b" "

    began = time.monotonic()
    assert isinstance(refusal(kind, answer), Unavailable)
    assert time.monotonic() - began < LONGEST


@pytest.mark.parametrize("kind", [gcs, azure, http, lanying, openai])
def test_a_packed_answer_is_not_unpacked_without_end(kind: Kind) -> None:
    bomb = gzip.compress(b" " * (20 * LIMIT))
    assert len(bomb) < LIMIT / 10

    def answer(_number: int, head: bytes) -> Iterator[bytes]:
        of_json = "application/xml" if kind is azure else "application/json"
        yield page(bomb, of_json, Content_Encoding="gzip")

    assert isinstance(refusal(kind, answer), Refused)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", [s3, azure])
def test_entities_of_a_listing_are_not_expanded(kind: Kind, encoding: str) -> None:
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 7))
    text = f'<!DOCTYPE l [<!ENTITY e0 "laugh">{nested}]><ListBucketResult><Name>&e6;</Name></ListBucketResult>'
    answer = page(text.encode(encoding))
    assert isinstance(refusal(kind, lambda _number, _head: [answer]), Refused)


def of_s3(number: int, key: str = "people/4/a", *, is_more: str = "true") -> bytes:
    entry = f"<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
    more = f"<IsTruncated>{is_more}</IsTruncated><NextContinuationToken>{number}</NextContinuationToken>"
    return page(f"<ListBucketResult>{entry}{more}</ListBucketResult>".encode())


def of_gcs(number: int, key: str = "people/4/a") -> bytes:
    return page(json.dumps({"items": [{"name": key, "generation": "1"}], "nextPageToken": str(number)}).encode(), "application/json")  # fmt: skip


def of_azure(number: int, key: str = "people/4/a") -> bytes:
    about = "<Properties><Content-Length>1</Content-Length><Etag>e</Etag><BlobType>BlockBlob</BlobType></Properties>"
    blobs = f"<Blobs><Blob><Name>{key}</Name>{about}</Blob></Blobs><NextMarker>{number}</NextMarker>"
    return page(f"<EnumerationResults>{blobs}</EnumerationResults>".encode())


@pytest.mark.parametrize(("kind", "listing"), [(s3, of_s3), (gcs, of_gcs), (azure, of_azure)])
def test_a_listing_that_comes_again_and_again_ends(kind: Kind, listing: Callable[[int], bytes]) -> None:
    with rogue(over_http(lambda number, _head: [listing(number)])) as server:
        with pytest.raises(Refused) as raised:
            list(kind(server.address).find(ADA, Scope()))
        assert "again" in str(raised.value)
        assert len(server.heard) == 2


@pytest.mark.parametrize("kind", [s3, gcs, azure, http, lanying])
def test_whoever_looks_gives_up_on_a_place_without_end(kind: Kind) -> None:
    def answer(number: int, _head: bytes) -> list[bytes]:
        listings = {s3: of_s3, gcs: of_gcs, azure: of_azure}
        if kind in listings:
            return [listings[kind](number, f"people/4/{number:09}")]  # another page each time
        if kind is http:
            return [
                page(json.dumps({"items": [{"id": str(number)}], "cursor": str(number)}).encode(), "application/json")
            ]
        messages = {"messages": [{"msg_id": number}], "next_msg_id": number}
        recent = [{"conversation_id": {"uid": 7}}]
        data = recent if b"unread" in _head.split()[1] else messages
        return [page(json.dumps({"code": 200, "data": data}).encode(), "application/json")]

    with rogue(over_http(answer)) as server, pytest.raises(Unavailable), deadlines.looking_for(0.3):
        for _item in kind(server.address).find(ADA, Scope()):
            pass
    assert len(server.heard) > 2


def versions(number: int) -> bytes:
    entry = "<Version><Key>people/4/a</Key><VersionId>v</VersionId><Size>1</Size></Version>"
    more = "<IsTruncated>true</IsTruncated><NextKeyMarker>people/4/a</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>"
    return page(f"<ListVersionsResult>{entry}{more}</ListVersionsResult>".encode())


def test_what_a_bucket_says_is_deleted_and_lists_again_is_not_erased_for_ever() -> None:
    def answer(number: int, head: bytes) -> list[bytes]:
        if head.startswith(b"POST"):
            return [page(b"<DeleteResult></DeleteResult>")]
        return [page(b"<ListMultipartUploadsResult></ListMultipartUploadsResult>") if b"uploads" in head.split()[1] else versions(number)]  # fmt: skip

    with rogue(over_http(answer)) as server:
        assert sum(one.erased for one in s3(server.address).erase(ADA, Scope(), "")) == 2
        assert len(server.heard) < 10


@pytest.mark.parametrize("length", [9, 11])
@CLOUDS
def test_an_object_has_the_size_that_was_said_or_is_not_taken(kind: Kind, length: int) -> None:
    def answer(_number: int, _head: bytes) -> list[bytes]:
        part = page(b"x" * length, "text/plain", ETag='"e"', Content_Range=f"bytes 0-{length - 1}/{length}")
        return [part.replace(b"200 OK", b"206 Partial Content")]

    with rogue(over_http(answer)) as server, pytest.raises(LocationError):
        opened = kind(server.address).read(Stored("people/4/a", 10, None, "1"), 0, 10)
        assert len(b"".join(opened.chunks)) == length


def test_a_document_that_is_an_object_may_say_what_it_likes() -> None:
    content = b"<!DOCTYPE html [<!ENTITY a 'b'>]>"
    with rogue(over_http(lambda _number, _head: [page(content, ETag='"e"')])) as server:
        opened = s3(server.address).read(Stored("people/4/a", len(content), None, "e"), 0, len(content))
        assert opened is not None
        assert b"".join(opened.chunks) == content


@pytest.mark.parametrize("status", ["400 Bad Request", "501 Not Implemented"])
def test_a_bucket_that_cannot_tell_labels_is_refused_and_not_taken_for_nobodys(status: str) -> None:
    def answer(_number: int, head: bytes) -> list[bytes]:
        if b"tagging" in head.split()[1]:
            return [page(b"<Error><Code>No</Code></Error>").replace(b"200 OK", status.encode())]
        return [of_s3(1, is_more="false")]

    labelled = {"templates": [], "label_name": "owner", "label_kind": "user_id", "label_prefix": "people/"}
    with rogue(over_http(answer)) as server:
        with pytest.raises(LocationError):
            list(s3(server.address, **labelled).find(ADA, Scope()))
        assert any(b"tagging" in head for head in server.heard)


def test_a_google_place_without_a_key_gets_nothing_of_the_machine(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def default(**_named: Any) -> Any:
        asked.append("default")
        raise Refused

    monkeypatch.setattr("google.auth.default", default)
    with pytest.raises(Refused):
        list(gcs("").find(ADA, Scope()))
    assert asked == []
    settings.LOCATION_MACHINE_ACCOUNT = True
    with pytest.raises(Refused):
        list(gcs("").find(ADA, Scope()))
    assert asked == ["default"]
    settings.STORAGES = {"default": {"BACKEND": "", "OPTIONS": {"bucket_name": "b"}}}
    with pytest.raises(Refused, match="its own"):
        list(gcs("").find(ADA, Scope()))
    assert asked == ["default"]


@pytest.mark.parametrize("kind", [s3, gcs, azure, http, lanying, openai])
def test_no_password_of_the_machine_goes_along(kind: Kind, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = tmp_path / "netrc"
    passwords.write_text("default login machine password secret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    monkeypatch.setenv("HOME", str(tmp_path))
    basic = base64.b64encode(b"machine:secret")
    with rogue(over_http(lambda _number, _head: [page(b"{}", "application/json")])) as server:
        with suppress(LocationError):
            list(kind(server.address).find(ADA, Scope()))
        assert server.heard
        assert not any(basic in head for head in server.heard)


def test_a_key_that_signs_in_somewhere_else_is_not_used() -> None:
    private = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with rogue(over_http(lambda _number, _head: [page(b"{}", "application/json")])) as inside:
        account = {
            "client_email": "a@example.org",
            "private_key": private.decode(),
            "token_uri": f"{inside.address}/token",
        }
        for endpoint in ("", "https://storage.example.org"):
            with pytest.raises(Refused, match="sign in"):
                list(gcs(endpoint, service_account=json.dumps(account)).find(ADA, Scope()))
        assert inside.heard == []
