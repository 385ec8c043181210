"""Archives in the making, with entries of which the exact content is known."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterable
from typing import Any

import pytest
from django.db import transaction

from apps.archives import selectors, services
from apps.archives.models import Archive
from apps.archives.writer import BatchWriter
from apps.audit.actors import Actor
from apps.audit.handles import new_handle
from apps.locations.contract import Entry

ADA = uuid.UUID(int=0xADA)
BEN = uuid.UUID(int=0xBE)
DISCLOSURE = {"reference": "HB-7Q4K-2M9X", "sections": [{"heading": "Why <we> keep it", "paragraphs": ["Because."]}]}


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Any) -> None:
    """A storage of each test's own."""
    options = {"location": str(tmp_path / "storage")}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}


@pytest.fixture
def archive(request: pytest.FixtureRequest) -> Archive:
    return new_archive(ADA)


def new_archive(subject: uuid.UUID, request: uuid.UUID | None = None, **more: Any) -> Archive:
    wanted = {"language": "en", "formats": ["html", "json"]} | more
    return services.create_archive(
        request_id=request or uuid.uuid4(), subject_id=subject, handle=new_handle(), **wanted
    )


def entry(name: str, content: bytes | Iterable[bytes], part: str = "whole", media_type: str = "text/plain") -> Entry:
    return Entry(name, media_type, (content,) if isinstance(content, bytes) else content, "", part=part)


def write_batch(
    archive: Archive, step: uuid.UUID, *entries: Entry, folder: str = "", token: uuid.UUID | None = None
) -> None:
    """Write and commit one batch, as the engine does."""
    writer = BatchWriter(archive, step, token or uuid.uuid4(), folder)
    for one in entries:
        writer.write(one)
    writer.close()
    with transaction.atomic():
        writer.commit()


def finish(archive: Archive, *, missing: list[dict[str, Any]] | None = None, publish: bool = True) -> Archive:
    services.finish_archive(
        archive, step_id=uuid.uuid4(), token=uuid.uuid4(), disclosure=DISCLOSURE, missing=missing or []
    )
    if publish:
        with transaction.atomic():
            services.publish(archive, actor=Actor.system())
    return archive


def content_of(archive: Archive) -> bytes:
    return b"".join(selectors.read_range(archive, 0, archive.size or 0))


def unzip(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}
