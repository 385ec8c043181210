"""No place leads to the files of Habeas itself: whoever sets up places in the staff site need not have the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.locations import sql
from apps.locations.connectors.files import ConfigForm, FilesConnector
from apps.locations.connectors.storages import StorageConnector
from apps.locations.errors import Refused
from apps.locations.own_ground import is_own
from apps.locations.stores.files import FilesStore

TEMPLATES = {"templates": ["{user_id}"]}


def own(settings: Any) -> list[str]:
    data = Path(settings.DATA_DIR)
    links = [f"{data}/storage/../master-keys", f"//{data}//secrets/", "/proc/self", "/etc/", "/run/secrets", "/"]
    return [str(data), str(data.parent), str(settings.MASTER_KEY_DIR), str(settings.BASE_DIR), *links]


def test_what_is_ours_or_the_machines_is_known_under_every_name(settings, tmp_path):
    for path in own(settings):
        assert is_own(path), path
    (tmp_path / "link").symlink_to(settings.DATA_DIR)
    assert is_own(str(tmp_path / "link" / "secrets"))
    assert not is_own(str(tmp_path))
    assert not is_own(f"{settings.DATA_DIR}-exports")


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
