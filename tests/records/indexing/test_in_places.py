"""Index values of what lies in places: the names of watched files, the hashes of copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.keys.selectors import tombstones_among
from apps.records.copies.checking import check_copy
from apps.records.copies.writing import store_of_policy
from apps.records.indexing import rotating
from apps.records.models import Copy, IndexKey, SourceFile, Subject
from tests.locations.stores.conftest import Place, files_place
from tests.records.copies.conftest import checked, copied, current, give, make_policy
from tests.records.sources.test_sources import add, put, read

__all__ = ["files_place", "make_policy"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path, storage: Path) -> None:
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"


def key_of(name: str) -> Any:
    return IndexKey.objects.get(name=name, retired_at__isnull=True).key_id


def rotate(*names: str) -> int:
    try:
        call_command("rotate_blind_index", *names)
    except CommandError as error:
        return error.returncode
    return 0


def test_a_watched_file_that_was_read_is_not_read_again(ada: Subject, files_place: Place) -> None:
    for name in ("one.txt", "two.txt"):
        put(files_place, f"ada@example.org/{name}", "User: Hello\n")
    source = add(files_place, {"folder": "", "path": "{email}/"})
    assert read(source)["conversations"] == 2
    old = key_of("source-file")
    (Path(files_place.config["root"]) / "ada@example.org" / "two.txt").unlink()
    rotating._begin("source-file", rotating.Actor.system())
    assert read(source) == {}  # known by the key before
    assert rotate("source-file") == 0
    assert read(source) == {}
    assert [row.index_number for row in SourceFile.objects.all()] == [
        2
    ]  # what is gone from the folder need not be known
    assert tombstones_among([old])
    put(files_place, "ada@example.org/one.txt", "User: Hello\nUser: Again\n")
    assert read(source)["messages"] == 1  # the control: what has changed is read


def test_a_file_that_changes_in_the_middle_is_noted_once(ada: Subject, files_place: Place) -> None:
    put(files_place, "ada@example.org/one.txt", "User: Hello\n")
    source = add(files_place, {"folder": "", "path": "{email}/"})
    read(source)
    rotating._begin("source-file", rotating.Actor.system())
    put(files_place, "ada@example.org/one.txt", "User: Hello\nUser: Again\n")
    assert read(source)["messages"] == 1
    assert rotate("source-file") == 0
    assert [row.index_number for row in SourceFile.objects.all()] == [2]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sealed", "json"])
def test_copies_get_their_hash_anew_and_a_changed_one_does_not(
    ada: Subject,
    files_place: Place,
    make_policy: Any,
    form: str,
) -> None:
    give(ada, "one", "two")
    policy = make_policy(files_place, form=form)
    copied(policy)
    old, (changed, _whole) = key_of("copy"), current(policy)
    path = next(Path(files_place.config["root"]).rglob(changed.object_name.rpartition("/")[2]))
    written = path.read_bytes()
    path.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    assert rotate("copy") == 0
    assert Copy.objects.get(pk=changed.pk).doomed_at is not None
    assert [row.mac_number for row in current(policy)] == [2]
    assert tombstones_among([old])
    assert copied(policy)["written"] == 1
    assert checked(policy) == {"ok": 2}
    assert [row.mac_number for row in current(policy)] == [2, 2]


@pytest.mark.parametrize("form", ["sealed", "json"])
def test_a_copy_that_was_listed_before_its_hash_was_made_anew_is_no_damaged_one(
    ada: Subject, files_place: Place, make_policy: Any, form: str
) -> None:
    give(ada, "one")
    policy = make_policy(files_place, form=form)
    copied(policy)
    [listed] = current(policy)
    assert rotate("copy") == 0
    assert check_copy(policy, store_of_policy(policy), listed) == "ok"


def test_a_place_that_is_away_keeps_the_old_key_and_the_schedule_goes_on(
    ada: Subject,
    files_place: Place,
    make_policy: Any,
) -> None:
    give(ada, "one")
    policy = make_policy(files_place)
    copied(policy)
    old, root = key_of("copy"), Path(files_place.config["root"])
    root.rename(root.with_name("away"))
    assert rotate("copy") == 4
    assert not tombstones_among([old])
    root.with_name("away").rename(root)
    rotating.finish_rotations()
    assert tombstones_among([old])
    assert checked(policy) == {"ok": 1}


@pytest.mark.slow
def test_a_sealed_copy_whose_hash_lost_its_key_with_a_restore_is_judged_by_whether_it_opens(
    ada: Subject,
    files_place: Place,
    make_policy: Any,
) -> None:
    give(ada, "one")
    policies = [make_policy(files_place, form=form, target=form, name=form) for form in ("sealed", "json")]
    for policy in policies:
        copied(policy)
    rotate("copy")
    Copy.objects.update(mac=b"\1" * 32, mac_number=1)  # the records are from before, the key is destroyed
    rotating.replace_lost_keys(actor=rotating.Actor.system())
    sealed, readable = policies
    assert checked(sealed) == {"ok": 1}
    assert [row.mac_number for row in current(sealed)] == [2]
    assert checked(readable) == {"changed": 1}  # nothing vouches for it: it is written anew
    assert [row.mac_number for row in current(readable)] == [2]
