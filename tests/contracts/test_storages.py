"""Any other django-storages back end: what the Storage API alone lets us do, and what that costs."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from apps.locations.connectors import storages
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable

ADA = Identity(uuid.uuid4(), None, None, (("user_id", "4"),))
FILES, AT_FIRST = 100, 4


@pytest.fixture
def connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> storages.StorageConnector:
    monkeypatch.setattr(storages, "ERASED_PER_PROGRESS", AT_FIRST)
    (tmp_path / "users/4").mkdir(parents=True)
    for number in range(FILES):
        (tmp_path / f"users/4/{number}.txt").write_bytes(b"hers")
    backend = {"backend": "django.core.files.storage.FileSystemStorage", "options": {"location": str(tmp_path)}}
    return storages.StorageConnector(backend | {"templates": ["users/{user_id}/"]})


def test_a_folder_that_is_not_there_is_unavailable_and_not_empty(
    connector: storages.StorageConnector, tmp_path: Path
) -> None:
    away = tmp_path.with_name(f"{tmp_path.name}-away")
    tmp_path.rename(away)
    for act in (connector.remaining, lambda who, scope: list(connector.erase(who, scope, ""))):
        with pytest.raises(Unavailable):
            act(ADA, Scope())
    away.rename(tmp_path)
    assert connector.remaining(ADA, Scope()).count == FILES


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    listdir = FileSystemStorage.listdir

    def counted(self: FileSystemStorage, path: str) -> Any:
        asked.append(path)
        return listdir(self, path)

    monkeypatch.setattr(FileSystemStorage, "listdir", counted)
    return asked


@pytest.mark.parametrize(
    ("backend", "is_function"),
    [
        ("django.core.files.storage.filesystem.file_move_safe", True), ("django.core.files.storage.DefaultStorage", False),
        ("django.core.files.storage.default_storage", False), ("storages.backends.s3.S3Storage", False),
        ("storages.backends.gcloud.GoogleCloudStorage", False), ("storages.backends.azure_storage.AzureStorage", False),
        ("storages.backends.sftpstorage.SFTPStorage", False),
    ],
)  # fmt: skip
def test_what_is_no_back_end_is_not_called_and_no_account_of_the_machine_is_used(
    tmp_path: Path, backend: str, is_function: bool
) -> None:
    ours, theirs = tmp_path / "a key of ours", tmp_path / "places" / "4.txt"
    ours.write_text("secret")
    theirs.parent.mkdir()
    options = {"old_file_name": str(ours), "new_file_name": str(theirs)} if is_function else {}
    config = {"backend": backend, "options": options, "templates": ["users/{user_id}/"]}
    with pytest.raises(Refused):
        storages.StorageConnector(config).check()
    assert ours.exists()
    assert not theirs.exists()


def test_a_large_folder_is_not_listed_anew_for_every_few_files(
    connector: storages.StorageConnector, listings: list[str]
) -> None:
    batches = [progress.erased for progress in connector.erase(ADA, Scope(), "")]
    assert batches == [4, 8, 16, 32, 40]
    assert len(listings) == 1 + len(batches)
    assert connector.remaining(ADA, Scope()).count == 0


def test_batches_that_take_long_do_not_grow(
    connector: storages.StorageConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "QUICK_SECONDS", 0)
    assert [progress.erased for progress in connector.erase(ADA, Scope(), "")] == [AT_FIRST] * (FILES // AT_FIRST)


def test_what_the_back_end_did_not_delete_is_not_counted(
    connector: storages.StorageConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = FileSystemStorage.delete

    def forgetful(self: FileSystemStorage, name: str) -> None:
        if not name.endswith("7.txt"):
            delete(self, name)

    monkeypatch.setattr(FileSystemStorage, "delete", forgetful)
    assert sum(progress.erased for progress in connector.erase(ADA, Scope(), "")) == FILES - 10
    assert connector.remaining(ADA, Scope()).count == 10
