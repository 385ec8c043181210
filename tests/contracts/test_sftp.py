"""What only a server behind SSH can do to us: another host key, links, a delete that fails in silence."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.locations.connectors.sftp import ConfigForm, SftpConnector
from apps.locations.connectors.storages import ConfigForm as StorageForm
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable
from tests.contracts.kinds_clouds import Sftp
from tests.sftp import Sftp as SftpServer

SCOPE = Scope()


@pytest.fixture
def place(sftp: SftpServer) -> Sftp:
    return Sftp(sftp, sftp.root / uuid.uuid4().hex)


@pytest.mark.services
def test_another_host_key_is_refused(place: Sftp, ada: Identity) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFyyhKWRFn7bJm6ZqyFRSXzHl2H1zK8HO8mI6ULWQvqZ"
    place.put("4", "a", b"hers")
    with pytest.raises(Refused):
        list(SftpConnector(place.config | {"host_key": other}).find(ada, SCOPE))


@pytest.mark.services
def test_a_folder_that_is_not_there_is_unavailable_and_not_empty(place: Sftp, ada: Identity) -> None:
    place.put("4", "note", b"Ada")
    elsewhere = SftpConnector(place.config | {"root": f"{place.place.root}-away"})
    for act in (elsewhere.remaining, lambda who, scope: list(elsewhere.erase(who, scope, ""))):
        with pytest.raises(Unavailable):
            act(ada, SCOPE)
    assert place.connector.remaining(ada, SCOPE).count == 1


@pytest.mark.services
def test_a_link_is_named_and_removed_and_what_it_points_to_stays(place: Sftp, ada: Identity) -> None:
    place.put("4", "note", b"Ada")
    place.put("42", "note", b"Ben")
    folder = place.place.root / "users/4"
    (folder / "link").symlink_to(place.place.root / "users/42/note")
    (folder / "folder").symlink_to(place.place.root / "users/42")
    exported = b"".join(chunk for entry in place.connector.export(ada, SCOPE, "") for chunk in entry.chunks)
    assert b"Ben" not in exported
    assert exported.count(b"not_followed") == 2
    list(place.connector.erase(ada, SCOPE, ""))
    assert list(place.everything()) == ["users/42/note"]
    assert not folder.exists(), "folders left empty go too: their names are personal"


@pytest.mark.services
def test_a_person_folder_that_is_a_link_is_refused(place: Sftp, ada: Identity) -> None:
    place.put("42", "note", b"Ben")
    (place.place.root / "users/4").symlink_to(place.place.root / "users/42")
    with pytest.raises(Refused):
        list(place.connector.erase(ada, SCOPE, ""))
    assert "users/42/note" in place.everything()


@pytest.mark.services
def test_a_large_file_is_read_in_pieces_each_from_its_own_place(
    place: Sftp, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.locations.objects.PIECE_SIZE", 4)
    place.put("4", "large", b"0123456789")
    entries = [entry for entry in place.connector.export(ada, SCOPE, "") if entry.name != "index.jsonl"]
    assert [(entry.part, b"".join(entry.chunks)) for entry in entries] == [
        ("piece", b"0123"), ("piece", b"4567"), ("last", b"89"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "field"),
    [({"host_key": "nonsense"}, "host_key"), ({"root": "relative"}, "root"), ({"port": "0"}, "port"), ({"root": "/a/../b"}, "root")],
)  # fmt: skip
def test_the_form_says_what_is_wrong(data: dict[str, Any], field: str) -> None:
    whole = {
        "host": "files.example.org", "port": "22", "username": "habeas", "root": "/srv", "templates": "users/{user_id}/",
        "host_key": "files.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFyyhKWRFn7bJm6ZqyFRSXzHl2H1zK8HO8mI6ULWQvqZ",
    }  # fmt: skip
    assert ConfigForm(whole).is_valid()
    assert list(ConfigForm(whole | data).errors) == [field]


@pytest.mark.parametrize(
    ("data", "field"),
    [({"backend": "os.system"}, "backend"), ({"backend": "storages.backends.nothing.Nothing"}, "backend"),
     ({"backend": "django.core.files.storage.filesystem.file_move_safe"}, "backend"),
     ({"backend": "django.core.files.storage.DefaultStorage"}, "backend"), ({"backend": "storages.backends.s3.S3Storage"}, "backend"),
     ({"options": "password = x"}, "options"), ({"options": "no equals sign"}, "options")],
)  # fmt: skip
def test_only_back_ends_are_made_and_no_secret_stands_in_the_open(data: dict[str, str], field: str) -> None:
    whole = {
        "backend": "django.core.files.storage.FileSystemStorage",
        "templates": "users/{user_id}/",
        "options": "location = /srv",
    }
    assert StorageForm(whole).is_valid()
    assert list(StorageForm(whole | data).errors) == [field]
