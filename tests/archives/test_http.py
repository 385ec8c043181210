"""Downloading: ranges, validators, headers, and knowing what was sent."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.files.storage import default_storage
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.utils import timezone

from apps.archives import layout, selectors
from apps.archives.errors import ArchiveGone, DamagedArchive
from apps.archives.http import archive_response, entity_tag
from apps.archives.models import Archive, Mark, Member, Piece, Segment
from apps.archives.services import archive_key_ids, merge_ranges
from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.keys.services import erase_keys
from tests.archives.conftest import ADA, content_of, entry, finish, write_batch

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
committed = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def ready(archive: Archive) -> Archive:
    write_batch(archive, uuid.uuid4(), entry("a.bin", bytes(range(256)) * 3000), entry("b.txt", b"b"))
    return finish(archive)


def get(archive: Archive, method: str = "get", **headers: str) -> Any:
    request = getattr(RequestFactory(), method)("/download", headers=headers)
    return archive_response(request, archive)


def body(response: Any, most: int | None = None) -> bytes:
    """Read a response as the server does; after `most` chunks the client leaves."""
    if not isinstance(response, StreamingHttpResponse):
        assert isinstance(response, HttpResponse)
        return response.content

    async def read() -> bytes:
        parts: list[bytes] = []
        async with aclosing(cast(AsyncGenerator[bytes, None], aiter(response))) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                if len(parts) == most:
                    break
        for closer in vars(response)["_resource_closers"]:  # response.close would also end the test's own connection
            await sync_to_async(closer)()
        return b"".join(parts)

    return async_to_sync(read)()


def test_the_whole_archive_comes_with_headers_that_keep_it_from_being_shown(ready: Archive) -> None:
    response = get(ready)
    assert response.status_code == 200
    assert body(response) == content_of(ready)
    assert response["Content-Length"] == str(ready.size)
    assert response["Accept-Ranges"] == "bytes"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["Content-Disposition"].startswith('attachment; filename="privacy-archive-')
    assert response["Content-Type"] == "application/zip"


def test_a_head_request_sends_no_bytes_and_counts_for_nothing(ready: Archive) -> None:
    response = get(ready, "head", Range="bytes=0-9")
    assert (response.status_code, response["Content-Length"], body(response)) == (200, str(ready.size), b"")
    ready.refresh_from_db()
    assert ready.served == []


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=10-19", 10, 20),
        ("bytes=100-99999999999999999999", 100, None),
        ("bytes=-99999999999", 0, None),
        ("BYTES=3-4", 3, 5),
    ],
)
def test_one_range_is_sent_as_a_part(ready: Archive, wanted: str, start: int, stop: int | None) -> None:
    whole = content_of(ready)
    response = get(ready, Range=wanted)
    expected = whole[start:stop]
    assert response.status_code == 206
    assert body(response) == expected
    first = start if start >= 0 else len(whole) + start
    assert response["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"
    assert response["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("wanted", ["bytes=5-4", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes 0-1", ""])
def test_a_malformed_range_or_several_get_everything(ready: Archive, wanted: str) -> None:
    response = get(ready, Range=wanted)
    assert (response.status_code, len(body(response))) == (200, ready.size)


@pytest.mark.parametrize("wanted", ["bytes={size}-", "bytes={size}-{size}", "bytes=-0"])
def test_a_range_outside_is_refused_with_the_size(ready: Archive, wanted: str) -> None:
    response = get(ready, Range=wanted.format(size=ready.size))
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{ready.size}")


def test_if_range_continues_only_the_same_archive(ready: Archive) -> None:
    tag = get(ready, "head")["ETag"]
    assert get(ready, **{"Range": "bytes=5-", "If-Range": tag}).status_code == 206
    for wrong in ('"another"', f"W/{tag}", "Sun, 22 Nov 2026 10:00:00 GMT"):
        assert get(ready, **{"Range": "bytes=5-", "If-Range": wrong}).status_code == 200
    other = Archive(pk=uuid.uuid4(), manifest_sha256=ready.manifest_sha256)
    assert entity_tag(other) != tag


def test_served_means_that_every_byte_was_sent(ready: Archive, monkeypatch: Any) -> None:
    monkeypatch.setattr(selectors, "CHUNK", 1000)
    size = ready.size or 0
    taken = body(get(ready), most=1)  # an interrupted download: its last chunk may not have arrived
    ready.refresh_from_db()
    assert 0 < len(taken) < size
    assert ready.served == []
    body(get(ready, Range="bytes=100-"))
    ready.refresh_from_db()
    assert (ready.served, ready.served_at) == ([[100, size]], None)
    body(get(ready, Range="bytes=0-99"))
    ready.refresh_from_db()
    assert ready.served == [[0, size]]
    assert ready.served_at is not None
    complete = [b'"complete":true' in bytes(one.data) for one in Entry.objects.filter(event="archive.downloaded")]
    assert complete == [False, True]


def test_ranges_join_and_stay_few() -> None:
    assert merge_ranges([[5, 9], [0, 5], [20, 30], [8, 10]]) == [[0, 10], [20, 30]]
    many = [[n * 10, n * 10 + 1] for n in range(500)]
    assert len(merge_ranges([*many, [7000, 9000]])) == 200
    assert [7000, 9000] in merge_ranges([*many, [7000, 9000]])


@committed
def test_what_is_not_ready_or_expired_or_destroyed_is_gone(archive: Archive) -> None:
    with pytest.raises(ArchiveGone):
        get(archive)
    ready = finish(archive)
    get(ready, "head")
    Archive.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    ready.refresh_from_db()
    with pytest.raises(ArchiveGone):
        get(ready)
    Archive.objects.update(expires_at=timezone.now() + timedelta(days=1))
    ready.refresh_from_db()
    erase_keys(archive_key_ids(ADA), about=ready.handle, actor=Actor.system())
    with pytest.raises(ArchiveGone):
        get(ready)


@pytest.mark.slow
@committed
def test_a_download_breaks_off_when_its_key_is_destroyed(archive: Archive, monkeypatch: Any) -> None:
    noise = b"".join(uuid.uuid4().bytes for _ in range(100_000))
    write_batch(archive, uuid.uuid4(), entry("a.bin", noise))
    ready = finish(archive)
    chunks = selectors.read_range(ready, 0, ready.size or 0)
    assert len(next(chunks)) >= selectors.CHUNK
    erase_keys(archive_key_ids(ADA), about=ready.handle, actor=Actor.system())
    assert len(next(chunks)) >= selectors.CHUNK  # within the time for which a key may be kept
    monkeypatch.setattr(selectors, "KEY_SECONDS", -1)
    with pytest.raises(ArchiveGone):
        next(chunks)


def test_a_changed_or_missing_object_is_an_alarm_and_never_other_bytes(ready: Archive) -> None:
    segment = Segment.objects.order_by("pk").first()
    assert segment is not None
    with Path(default_storage.path(segment.object_name)).open("r+b") as file:
        file.seek(200)
        file.write(b"changed")
    with pytest.raises(DamagedArchive):
        content_of(ready)
    default_storage.delete(segment.object_name)
    with pytest.raises(DamagedArchive):
        content_of(ready)


def test_an_archive_that_ends_while_it_is_read_breaks_off(ready: Archive, monkeypatch: Any) -> None:
    monkeypatch.setattr(layout, "MARK_EVERY", 1)
    monkeypatch.setattr(selectors, "CHUNK", 1000)
    chunks = selectors.read_range(ready, 0, ready.size or 0)
    next(chunks)
    Piece.objects.all().delete()
    Mark.objects.all().delete()
    Member.objects.all().delete()
    with pytest.raises(ArchiveGone):
        list(chunks)
