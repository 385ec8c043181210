"""Our own storage on Google Cloud Storage and Azure Blob: what is deleted leaves no generation, version, snapshot or block."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from azure.storage.blob import BlobServiceClient
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from apps.archives import objects as archive_objects
from apps.audit.actors import Actor
from apps.locations import own_storage
from apps.locations.connectors.azure import AzureConnector
from apps.locations.errors import Blocked
from apps.locations.stores.gcs import GcsStore
from apps.records import objects, services
from apps.records.connector import RecordsConnector
from apps.records.models import Attachment, Subject
from apps.records.selectors.reading import open_attachment
from apps.records.sweeping import comparing, listing
from apps.records.sweeping.services import run_sweep
from config import env
from tests.azurite import ACCOUNT, KEY, Azurite, azurite  # noqa: F401
from tests.contracts.gcs_standin import GcsStandIn
from tests.contracts.kinds_clouds import patient_no_longer
from tests.records.conftest import attachment, by, conversation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
ADA, BEN = UUID(int=0xADA), UUID(int=0xBE)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[GcsStandIn]:
    patient_no_longer(monkeypatch)
    server = GcsStandIn()
    server.needs_token = False
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    settings.STORAGES = {**settings.STORAGES, "default": env.storage("STORAGE_URL", "gs://bucket/habeas")}
    yield server
    server.stop()
    assert server.violations == []


@pytest.fixture
def container(azurite: Azurite, settings: Any) -> Iterator[Any]:  # noqa: F811
    name = f"own-{uuid.uuid4().hex[:12]}"
    access = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite.address};"
    made = BlobServiceClient.from_connection_string(access).create_container(name)
    backend = env.storage("STORAGE_URL", f"azure://{name}/habeas")
    backend["OPTIONS"] |= {"connection_string": access}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    yield made
    made.delete_container()


def left_in(container: Any) -> list[str]:
    return [blob.name for blob in container.list_blobs(include=["snapshots", "uncommittedblobs"])]


def put(name: str, content: bytes = b"x") -> str:
    return default_storage.save(name, ContentFile(content))


def give(subject: Subject, content: bytes) -> Attachment:
    services.store_conversations(
        subject, [conversation("c1", "text", attachments=[attachment("a.pdf", content)])], actor=by(subject)
    )
    return Attachment.objects.get(stored=True)


def swept(**options: Any) -> dict[str, tuple[str, bool]]:
    found: list[comparing.Finding] = []
    run_sweep(actor=Actor.system(), tell=found.append, **options)
    return {one.name: (one.kind, one.is_removed) for one in found}


def test_at_google_every_generation_goes_and_nothing_of_somebody_else(google: GcsStandIn) -> None:
    hers, his = objects.new_name(objects.ATTACHMENTS, ADA), objects.new_name(objects.ATTACHMENTS, BEN)
    for content in (b"first", b"second"):
        google.put(f"habeas/{hers}", content)
        google.put(f"habeas/{his}", content)
    default_storage.delete(hers)
    default_storage.delete(his)
    assert len(google.kept) == 4, "the back end itself takes no older generation"
    assert objects.names_of(objects.ATTACHMENTS, ADA) == [hers]
    objects.delete(hers)
    assert objects.names_of(objects.ATTACHMENTS, ADA) == []
    assert [kept.name for kept in google.kept] == [f"habeas/{his}"] * 2
    objects.delete_all(objects.ATTACHMENTS, BEN)
    assert google.kept == []


def test_at_google_archives_go_with_every_generation(google: GcsStandIn) -> None:
    name = archive_objects.new_name(ADA)
    archive_objects.put(name, [b"sealed"])
    archive_objects.put(name, [b"again"])
    default_storage.delete(name)
    assert archive_objects.names_left(ADA) == [name]
    archive_objects.delete(name)
    assert (archive_objects.names_left(ADA), google.kept) == ([], [])


def test_what_google_holds_back_is_blocked_and_the_rest_goes(google: GcsStandIn) -> None:
    later = datetime.now(UTC) + timedelta(days=5)
    held, free = (objects.new_name(objects.ATTACHMENTS, ADA) for _ in range(2))
    google.put(f"habeas/{held}", b"x", retained_until=later)
    google.put(f"habeas/{free}", b"x")
    with pytest.raises(Blocked) as kept:
        objects.delete_all(objects.ATTACHMENTS, ADA)
    assert kept.value.until == later.date() + timedelta(days=1)
    assert objects.names_of(objects.ATTACHMENTS, ADA) == [held]
    assert not objects.try_delete(held)


def test_at_google_a_file_is_stored_and_read_in_pieces(google: GcsStandIn, ada: Subject, settings: Any) -> None:
    content = bytes(range(256)) * 4096
    settings.STORAGES["default"]["OPTIONS"]["blob_chunk_size"] = 256 * 1024
    row = give(ada, content)
    assert b"".join(open_attachment(ada, row.pk).chunks) == content
    objects.delete(row.object_name)
    assert google.kept == []


def test_the_sweep_sees_what_google_only_hid_and_takes_it_with_every_generation(
    google: GcsStandIn, ada: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "SETTLED_AFTER", timedelta(seconds=-5))
    row = give(ada, b"pdf")
    orphan, hidden = (objects.new_name(objects.ATTACHMENTS, uuid.uuid4()) for _ in range(2))
    put(orphan)
    for _ in range(2):
        google.put(f"habeas/{hidden}", b"x")
    default_storage.delete(hidden)
    google.put("habeas/notes.txt", b"a stranger's")
    google.put("elsewhere/thing", b"another site's")
    default_storage.delete(row.object_name)
    wanted = {orphan: "orphan", hidden: "orphan", "notes.txt": "unknown", row.object_name: "missing"}
    assert {name: kind for name, (kind, _gone) in swept().items()} == wanted
    assert len(google.kept) == 6
    assert {name for name, (_kind, gone) in swept(remove=True).items() if gone} == {orphan, hidden}
    assert sorted(kept.name for kept in google.kept) == sorted(
        ["elsewhere/thing", f"habeas/{row.object_name}", "habeas/notes.txt"]
    )


def test_google_is_not_listed_again_for_uploads_of_which_it_tells_nobody(
    google: GcsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("notes.txt")
    assert [one.name for one in listing.stored_objects()] == ["notes.txt"]
    monkeypatch.setattr(GcsStore, "find", lambda *_arguments: pytest.fail("it was listed"))
    assert list(listing.unfinished_uploads()) == []


def test_our_own_places_say_for_how_long_google_keeps_what_was_deleted(google: GcsStandIn) -> None:
    assert RecordsConnector({}).check().horizon_days == 0
    google.soft_delete_days = 7
    health = RecordsConnector({}).check()
    assert (health.is_reachable, health.horizon_days, health.problems) == (True, 7, ())
    google.permissions.remove("storage.buckets.get")
    health = RecordsConnector({}).check()
    assert health.horizon_days == own_storage.LONGEST_SOFT_DELETE[own_storage.GOOGLE]
    assert "90" in health.problems[-1]


def test_what_google_keeps_by_soft_delete_is_no_finding_and_not_left(google: GcsStandIn) -> None:
    google.soft_delete_days = 7
    name = objects.new_name(objects.ATTACHMENTS, ADA)
    google.put(f"habeas/{name}", b"x")
    objects.delete(name)
    assert [kept.gone_at is not None for kept in google.kept] == [True]
    assert (objects.names_of(objects.ATTACHMENTS, ADA), swept()) == ([], {})


@pytest.mark.services
def test_at_azure_snapshots_and_blocks_go_and_nothing_of_somebody_else(container: Any) -> None:
    hers, his = objects.new_name(objects.ATTACHMENTS, ADA), put(objects.new_name(objects.ATTACHMENTS, BEN))
    container.get_blob_client(f"habeas/{his}").create_snapshot()
    put(hers)
    container.get_blob_client(f"habeas/{hers}").create_snapshot()
    blocks = objects.new_name(objects.ATTACHMENTS, ADA)
    container.get_blob_client(f"habeas/{blocks}").stage_block("MDAx", b"part")
    with pytest.raises(Exception, match="SnapshotsPresent"):
        default_storage.delete(hers)  # the back end itself does not get it away
    assert sorted(objects.names_of(objects.ATTACHMENTS, ADA)) == sorted([hers, blocks])
    objects.delete(hers)
    assert objects.names_of(objects.ATTACHMENTS, ADA) == [blocks]
    objects.delete_all(objects.ATTACHMENTS, ADA)
    assert left_in(container) == [f"habeas/{his}"] * 2


@pytest.mark.services
def test_at_azure_a_file_is_stored_and_read(container: Any, ada: Subject) -> None:
    content = bytes(range(256)) * 4096
    row = give(ada, content)
    assert b"".join(open_attachment(ada, row.pk).chunks) == content
    objects.delete(row.object_name)
    assert left_in(container) == []


@pytest.mark.services
def test_the_sweep_takes_blocks_that_are_ours_and_no_strangers(
    container: Any, ada: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = give(ada, b"pdf")
    orphan = objects.new_name(objects.ATTACHMENTS, uuid.uuid4())
    coming = objects.new_name(objects.ATTACHMENTS, ada.pk)
    Attachment.objects.filter(pk=row.pk).update(stored=False, object_name=coming)
    for name in (orphan, coming, "strangers"):
        container.get_blob_client(f"habeas/{name}").stage_block("MDAx", b"part")
    default_storage.delete(row.object_name)
    assert swept(remove=True, unknown=True) == {orphan: ("unfinished", True), "strangers": ("unknown", False)}
    assert left_in(container) == [f"habeas/{coming}", "habeas/strangers"], "its row is young: it may be on its way"
    monkeypatch.setattr(comparing, "SETTLED_AFTER", timedelta(seconds=-5))
    assert swept(remove=True)[coming] == ("unfinished", True)
    assert left_in(container) == ["habeas/strangers"]


@pytest.mark.services
def test_our_own_places_say_for_how_long_azure_keeps_what_was_deleted(
    container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RecordsConnector({}).check().horizon_days == 0
    soft = {"delete_retention_policy": SimpleNamespace(enabled=True, days=14)}
    monkeypatch.setattr(AzureConnector, "_allowed", lambda self, call: soft if "service" in call.__name__ else None)
    assert RecordsConnector({}).check().horizon_days == 14
    monkeypatch.setattr(AzureConnector, "_allowed", lambda self, call: None)
    health = RecordsConnector({}).check()
    assert health.horizon_days == own_storage.LONGEST_SOFT_DELETE[own_storage.AZURE]
