"""Master keys in files: made once, for their owner only, and refused when missing or damaged."""

from __future__ import annotations

import os
import stat
import uuid

import pytest

from apps.keys import services
from apps.keys.epochs import begin_epoch, current_epoch
from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing
from apps.keys.kinds import KeyKind
from apps.keys.models import Epoch, Key
from apps.keys.providers import provider_named
from apps.keys.providers.file import FileProvider

pytestmark = pytest.mark.django_db(databases=["keys"])


def test_the_first_key_makes_a_master_key_for_its_owner_only(master_keys, person):
    assert not master_keys.exists()
    person()
    person()
    [path] = master_keys.iterdir()
    assert path.stem == Epoch.objects.get().reference
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(master_keys.stat().st_mode) == 0o700
    assert len(path.read_text()) == 65


def test_the_master_key_is_on_the_disk_before_it_has_its_name(master_keys, monkeypatch):
    order: list[str] = []

    def noting(name, real):
        def noted(*arguments):
            order.append(name)
            return real(*arguments)

        return noted

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(type(master_keys), "replace", noting("name", type(master_keys).replace))
    FileProvider().create()
    assert order == ["fsync", "name", "fsync"]


def test_a_missing_master_key_is_refused_while_keys_need_it_and_the_fix_is_named(master_keys, ada):
    [path] = master_keys.iterdir()
    away = path.rename(path.with_suffix(".away"))
    for attempt in (
        lambda: services.open_key(ada.id),
        lambda: services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4()),
    ):
        with pytest.raises(MasterKeyMissing, match=f"{path}.*put the file back.*MASTER_KEY_DIR"):
            attempt()
    assert Epoch.objects.count() == 1
    away.rename(path)
    assert services.open_key(ada.id) == ada.key


def test_a_missing_master_key_that_no_key_needs_is_replaced(master_keys, ada):
    Key.objects.all().delete()
    [path] = master_keys.iterdir()
    path.unlink()
    made = services.create_key(KeyKind.SUBJECT, owner=uuid.uuid4())
    assert services.open_key(made.id) == made.key
    assert Epoch.objects.count() == 2


@pytest.mark.parametrize("content", [b"", b"ab" * 32, b"AB" * 32 + b"\n", b"ab" * 31 + b"\n", b"\xff" * 64 + b"\n"])
def test_a_damaged_master_key_is_refused(master_keys, ada, content):
    [path] = master_keys.iterdir()
    good = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(KeyStoreDamaged, match="master key"):
        services.open_key(ada.id)
    path.write_bytes(good)
    assert services.open_key(ada.id) == ada.key


def test_another_master_key_opens_nothing(master_keys, ada):
    [path] = master_keys.iterdir()
    path.write_text("ab" * 32 + "\n")
    with pytest.raises(KeyStoreDamaged, match="does not open"):
        services.open_key(ada.id)


def test_a_folder_in_its_place_is_damage(master_keys, ada):
    [path] = master_keys.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(KeyStoreDamaged, match="cannot be read"):
        services.open_key(ada.id)


@pytest.mark.parametrize("reference", ["../secret", "a/b", "", "a.b", "x" * 65])
def test_a_reference_cannot_name_another_place(reference):
    with pytest.raises(KeyStoreDamaged):
        FileProvider().path_of(reference)


def test_a_new_epoch_takes_the_new_keys_and_the_old_ones_still_open(ada, person):
    first = current_epoch()
    second = begin_epoch()
    assert current_epoch() == second != first
    later = person()
    assert Key.objects.get(pk=later.id).epoch == second
    assert services.open_keys([ada.id, later.id]) == {ada.id: ada.key, later.id: later.key}
    Epoch.objects.filter(pk=second.pk).update(retired_at=second.created_at)
    assert current_epoch() == first


def test_providers_are_found_by_name():
    assert isinstance(provider_named("file"), FileProvider)
