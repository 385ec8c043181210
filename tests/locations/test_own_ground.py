"""No place leads to the files of Habeas itself: whoever sets up places in the staff site need not have the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.locations import sql
from apps.locations.connectors.files import ConfigForm, FilesConnector
from apps.locations.connectors.storages import StorageConnector
from apps.locations.errors import Refused
from apps.locations.own_ground import refusal
from apps.locations.stores.files import FilesStore

TEMPLATES = {"templates": ["{user_id}"]}


def own(settings: Any) -> list[str]:
    data = Path(settings.DATA_DIR)
    links = [f"{data}/storage/../master-keys", f"//{data}//secrets/", "/proc/self", "/etc/", "/run/secrets", "/"]
    return [str(data), str(data.parent), str(settings.MASTER_KEY_DIR), str(settings.BASE_DIR), *links]


def test_what_is_ours_or_the_machines_is_known_under_every_name(settings, tmp_path):
    for path in own(settings):
        assert refusal(path), path
    (tmp_path / "link").symlink_to(settings.DATA_DIR)
    assert refusal(str(tmp_path / "link" / "secrets"))
    assert not refusal(str(tmp_path))
    assert not refusal(f"{settings.DATA_DIR}-exports")


def test_no_form_and_no_connector_takes_it(settings):
    (Path(settings.DATA_DIR) / "secrets").mkdir(exist_ok=True)
    for path in (str(settings.DATA_DIR), f"{settings.DATA_DIR}/secrets"):
        assert "root" in ConfigForm({"root": path, "templates": "{user_id}"}).errors
        with pytest.raises(Refused):
            FilesConnector({"root": path} | TEMPLATES).check()
        with pytest.raises(Refused):
            list(FilesStore({"root": path}, "").find())
        with pytest.raises(Refused):
            list(FilesStore({"root": path}, "").get("SECRET_KEY"))
        options = {"options": {"location": path}, "backend": "django.core.files.storage.FileSystemStorage"}
        with pytest.raises(Refused):
            StorageConnector(options | TEMPLATES).check()


def test_a_folder_beside_ours_is_taken(tmp_path):
    assert "root" not in ConfigForm({"root": str(tmp_path), "templates": "{user_id}"}).errors
    assert FilesConnector({"root": str(tmp_path)} | TEMPLATES).check().is_reachable
    assert not list(FilesStore({"root": str(tmp_path)}, "").find())


def test_our_databases_are_no_sqlite_file_of_somebody_elses(settings, tmp_path):
    for name in ("records.sqlite3", "keys/keys.sqlite3"):
        file = Path(settings.DATA_DIR) / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        with pytest.raises(Refused):
            sql.engine_of({"dialect": "sqlite", "database": str(file)})
    (tmp_path / "shop.sqlite3").touch()
    assert sql.engine_of({"dialect": "sqlite", "database": str(tmp_path / "shop.sqlite3")})


def test_a_place_lies_below_a_root_that_the_operator_names(settings, tmp_path):
    settings.LOCATION_ROOTS = [tmp_path / "exports"]
    for name in ("exports/shop", "elsewhere", "exports-of-others"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("exports", "exports/shop", "exports/not-there-yet"):
        assert not refusal(str(tmp_path / name)), name
    (tmp_path / "exports" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "inwards").symlink_to(tmp_path / "exports" / "shop")
    for name in ("elsewhere", "exports-of-others", "exports/../elsewhere", "exports/link", "exports/link/x", ""):
        assert refusal(str(tmp_path / name)), name
        config = {"root": str(tmp_path / name)} | TEMPLATES
        with pytest.raises(Refused):
            FilesConnector(config).check()
        with pytest.raises(Refused):
            list(FilesStore(config, "").find())
    assert not refusal(str(tmp_path / "inwards"))
    assert FilesConnector({"root": str(tmp_path / "inwards")} | TEMPLATES).check().is_reachable


def test_without_a_root_no_folder_is_a_place_and_a_root_opens_nothing_of_ours(settings, tmp_path):
    settings.LOCATION_ROOTS = []
    assert "No folder of this machine" in refusal("/srv/exports")
    settings.LOCATION_ROOTS = [Path("/mnt")]
    assert "only lie below /mnt (LOCATION_ROOTS)" in refusal("/srv/exports")
    settings.LOCATION_ROOTS = [Path("/")]
    assert not refusal("/srv/exports")
    for path in own(settings):
        assert "keeps its own files" in refusal(path), path


def test_a_root_below_a_folder_of_the_machine_opens_itself_alone(settings):
    settings.LOCATION_ROOTS = [Path("/run/media/disk")]
    assert not refusal("/run/media/disk")
    assert not refusal("/run/media/disk/exports")
    for path in ("/run/media", "/run/secrets", "/run/media/disk/../../secrets", "/dev/sda", "/proc/self"):
        assert "keeps its own files" in refusal(path), path


def test_the_folder_for_places_in_the_data_folder_is_open_and_nothing_beside_it(settings):
    data = Path(settings.DATA_DIR)
    settings.LOCATION_ROOTS = [data / "places"]
    assert not refusal(str(data / "places"))
    assert not refusal(str(data / "places" / "shop"))
    for path in (data, data / "secrets", data / "places" / ".." / "secrets", data / "places-of-others"):
        assert refusal(str(path)), path
    settings.MASTER_KEY_DIR = data / "places" / "keys"  # an operator's mistake
    assert refusal(str(data / "places"))
    assert refusal(str(data / "places" / "keys"))
    assert not refusal(str(data / "places" / "shop"))
