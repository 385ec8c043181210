"""Settings under which a destroyed key would live on are named."""

from __future__ import annotations

import pytest
from django.conf import settings as site

from apps.keys.checks import check_databases, check_master_keys
from apps.keys.providers.file import FileProvider


def found() -> set[str | None]:
    return {message.id for message in check_databases(None) + check_master_keys(None)}


@pytest.fixture
def keys_database(monkeypatch):
    """Give the keys another database, in the settings alone."""
    return lambda **database: monkeypatch.setitem(site.DATABASES, "keys", database)


def test_the_settings_as_they_come_are_good(master_keys):
    FileProvider().create()
    assert found() == set()


def test_keys_beside_the_records_are_named(keys_database):
    keys_database(**site.DATABASES["default"])
    assert "keys.E001" in found()


def test_a_sqlite_that_keeps_deleted_bytes_is_named(keys_database):
    keys_database(ENGINE="django.db.backends.sqlite3", NAME="somewhere", OPTIONS={"init_command": ""})
    assert found() == {"keys.E002"}
    keys_database(ENGINE="django.db.backends.postgresql", NAME="somewhere")
    assert found() == set()


@pytest.mark.parametrize("others", ["folder", "file"])
def test_master_keys_that_others_can_read_are_named(master_keys, others):
    FileProvider().create()
    [file] = master_keys.iterdir()
    (master_keys if others == "folder" else file).chmod(0o755)
    assert found() == {"keys.W001"}
