"""Archives on S3: written, served, and gone with every version when they are erased."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from apps.archives import objects, services
from apps.archives.connector import ArchivesConnector
from apps.archives.errors import DamagedArchive
from apps.archives.models import Segment
from apps.archives.writer import BatchWriter
from apps.locations import storage
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Unavailable
from tests.archives.conftest import ADA, BEN, content_of, entry, finish, new_archive, unzip, write_batch

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

BUCKET = "archives"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


def options(endpoint: str) -> dict[str, Any]:
    access = {"access_key": "test", "secret_key": "test", "region_name": "us-east-1", "endpoint_url": endpoint}
    config = Config(retries={"max_attempts": 0}, connect_timeout=2)
    return access | {"bucket_name": BUCKET, "location": "habeas", "file_overwrite": False, "client_config": config}


@pytest.fixture
def bucket(server: str, settings: Any) -> Iterator[Any]:
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    found = boto3.resource("s3", endpoint_url=server, **access).Bucket(BUCKET)
    found.create()
    found.Versioning().enable()
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options(server)}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    yield found
    found.object_versions.all().delete()
    found.delete()


def make(subject: uuid.UUID) -> Any:
    archive = new_archive(subject)
    write_batch(archive, uuid.uuid4(), entry("a.txt", b"content" * 1000))
    return finish(archive)


@pytest.mark.slow
def test_an_archive_on_s3_is_written_read_and_erased_with_every_version(bucket: Any) -> None:
    archive, other = make(ADA), make(BEN)
    assert unzip(content_of(archive))["a.txt"] == b"content" * 1000
    names = [row.key for row in bucket.objects.all()]
    assert len(names) == Segment.objects.count() == 6
    assert all(name.startswith("habeas/archives/") for name in names)
    place, who = ArchivesConnector({}), Identity(ADA, None, None)
    assert place.check().is_reachable
    assert place.remaining(who, Scope()).count == 1
    bucket.put_object(Key=f"habeas/{objects.folder_of(ADA)}/unknown", Body=b"left by a crash")
    assert place.remaining(who, Scope()).count == 2
    bucket.Object(f"habeas/{objects.folder_of(ADA)}/unknown").delete()
    assert place.remaining(who, Scope()).count == 2, "hidden, not gone"
    list(place.erase(who, Scope(), ""))
    assert place.remaining(who, Scope()).count == 0
    left = {version.object_key for version in bucket.object_versions.all()}
    assert len(left) == 3
    assert not [name for name in left if str(ADA) in name]
    assert unzip(content_of(other))["a.txt"] == b"content" * 1000


def test_an_object_that_s3_did_not_delete_is_not_taken_for_gone(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make(ADA)
    name = objects.names_of(ADA)[0]
    answer = [{"Deleted": [], "Errors": [{"Key": name, "Code": "AccessDenied"}]}]  # under HTTP 200
    refusing = SimpleNamespace(filter=lambda Prefix: SimpleNamespace(delete=lambda: answer))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "default_storage", SimpleNamespace(bucket=SimpleNamespace(object_versions=refusing)))
        with pytest.raises(Unavailable):
            objects.delete(name)
    objects.delete(name)
    assert name not in objects.names_of(ADA)


@pytest.mark.slow
def test_a_missing_object_is_an_alarm(bucket: Any) -> None:
    archive = make(ADA)
    bucket.objects.all().delete()
    with pytest.raises(DamagedArchive):
        content_of(archive)


def test_a_storage_that_does_not_answer_is_unavailable_and_leaves_a_row_for_the_sweep(settings: Any) -> None:
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options("http://127.0.0.1:9")}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    archive = new_archive(ADA)
    with pytest.raises(Unavailable), BatchWriter(archive, uuid.uuid4(), uuid.uuid4()) as batch:
        batch.write(entry("a.txt", b"x"))
        batch.close()
    assert Segment.objects.filter(committed=False).count() == 1
    assert services.sweep_segments(archive) == 0
    assert not ArchivesConnector({}).check().is_reachable
