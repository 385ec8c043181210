"""What is wrong with the environment is named, and no password is repeated."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.requests.regimes import REGIMES
from config import env

ROOT = Path(__file__).resolve().parent.parent.parent
GOOD_KEY = base64.b64encode(b"k" * 32).decode()

WRONG: list[tuple[Callable[..., Any], tuple, str, str]] = [
    (env.text, (), "", "is not set"),
    (env.flag, (False,), "perhaps", "say on or off"),
    (env.number, (3,), "three", "whole number"),
    (env.signing_key, (), "not base64!", "not base64"),
    (env.signing_key, (), base64.b64encode(b"short").decode(), "5 bytes"),
    (env.site_url, ("",), "privacy.example.org", "address is wanted"),
    (env.site_url, ("",), "https://example.org/privacy", "address is wanted"),
    (env.site_url, ("",), "https://example.org:port", "NAME"),
    (env.address, ("",), "the data protection officer", "e-mail address"),
    (env.time_zone, ("UTC",), "Berlin", "no such time zone"),
    (env.time_zone, ("UTC",), "../../etc/passwd", "no such time zone"),
    (env.choice, ("INFO", env.LEVELS), "LOUD", "one of"),
    (env.country, ("DE",), "Germany", "public holidays"),
    (env.database, ("",), "mysql://u:hunter2@h/x", "sqlite:/// and postgresql://"),
    (env.database, ("",), "postgresql://u:hunter2@h", "name of the database"),
    (env.database, ("",), "postgresql://u:hunter2@h:port/x", "NAME"),
    (env.database, ("",), "sqlite:records.db", "path is wanted"),
    (env.cache, ("",), "memcached://u:hunter2@h", "redis://"),
    (partial(env.number, most=30), (7,), "31", "at most 30"),
    (partial(env.service_url, required=True), (), "", "is not set"),
    (partial(env.service_url, required=True), (), "vault.example.org", "address is wanted"),
    (partial(env.service_url, required=True), (), "https://u:hunter2@vault.example.org", "address is wanted"),
    (partial(env.service_url, required=True), (), "http://vault.example.org:8200", "only on this machine"),
    (env.email, ("",), "imap://u:hunter2@h", "smtp://"),
]


@pytest.mark.parametrize(("read", "more", "value", "says"), WRONG)
def test_a_wrong_value_is_refused_with_the_name_and_without_a_password(
    read: Callable[..., Any], more: tuple, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", value)
    with pytest.raises(ImproperlyConfigured, match="NAME") as refusal:
        read("NAME", *more)
    assert says in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("value", ["files:///x", "s3:///prefix", "//u:hunter2@x"])
def test_a_wrong_storage_is_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="STORAGE_URL") as refusal:
        env.storage("STORAGE_URL", value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("code", sorted(REGIMES))
def test_every_regime_may_be_the_default(code: str, tmp_path: Path) -> None:
    assert start(tmp_path, DEFAULT_REGIME=code).returncode == 0


def test_a_wrong_broker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="CELERY_BROKER_URL") as refusal:
        env.broker_options("CELERY_BROKER_URL", "sqs://u:hunter2@x", tmp_path)
    assert "hunter2" not in str(refusal.value)


def test_a_variable_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(GOOD_KEY + "\n")
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "key"))
    assert env.signing_key("NAME") == GOOD_KEY
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="NAME_FILE"):
        env.signing_key("NAME")


def test_a_postgres_url_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "postgresql://habeas:p%40ss@db:5433/records?sslmode=require")
    database = env.database("NAME", "")
    assert database["NAME"] == "records"
    assert database["PASSWORD"] == "p@ss"
    assert database["PORT"] == "5433"
    assert database["OPTIONS"] == {"sslmode": "require"}


SAME = [
    ("sqlite:////{folder}/a.sqlite3", "sqlite:////{folder}/x/../a.sqlite3"),
    ("postgresql://u@localhost/records", "postgresql://other@127.0.0.1:5432/records"),
]


@pytest.mark.parametrize(("records", "keys"), SAME)
def test_keys_need_a_database_of_their_own(
    records: str, keys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path).lstrip("/")
    monkeypatch.setenv("A", records.format(folder=folder))
    monkeypatch.setenv("B", keys.format(folder=folder))
    with pytest.raises(ImproperlyConfigured, match="KEYS_DATABASE_URL"):
        env.two_databases({"default": env.database("A", ""), "keys": env.database("B", "")})


def test_two_databases_of_one_server_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "postgresql://u@localhost/records")
    monkeypatch.setenv("B", "postgresql://u@localhost/keys")
    both = {"default": env.database("A", ""), "keys": env.database("B", "")}
    assert env.two_databases(both) == both


def start(tmp_path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process of their own."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "SECRET_KEY": "s" * 50}
    environment |= {"LOG_SIGNING_KEY": GOOD_KEY, "ARCHIVE_SIGNING_KEY": base64.b64encode(b"a" * 32).decode()} | changes
    code = "import config.settings"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_the_settings_load_from_a_good_environment(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert done.returncode == 0, done.stderr


BAD_STARTS = [
    ({"SECRET_KEY": ""}, "SECRET_KEY"),
    ({"LOG_SIGNING_KEY": "???"}, "LOG_SIGNING_KEY"),
    ({"ARCHIVE_SIGNING_KEY": GOOD_KEY}, "ARCHIVE_SIGNING_KEY"),  # the same as the log's
    ({"SAMPLE_SITE": "on", "SITE_URL": "https://privacy.example.org"}, "SAMPLE_SITE"),
    ({"CACHE_URL": "http://cache"}, "CACHE_URL"),
    ({"DEFAULT_REGIME": "dsgvo"}, "DEFAULT_REGIME"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "name"), BAD_STARTS)
def test_a_bad_environment_is_named_at_start(changes: dict[str, str], name: str, tmp_path: Path) -> None:
    done = start(tmp_path, **changes)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last


@pytest.mark.parametrize("value", ["https://vault.example.org:8200", "http://127.0.0.1:8200/"])
def test_the_address_of_a_service_is_https_or_of_this_machine(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", value)
    assert env.service_url("NAME", required=True) == value.rstrip("/")
    monkeypatch.delenv("NAME")
    assert env.service_url("NAME", required=False) == ""


def test_folders_for_places_are_absolute_and_never_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.folders("NAME") == []
    monkeypatch.setenv("NAME", "/srv/exports, /mnt/crm/")
    assert env.folders("NAME") == [Path("/srv/exports"), Path("/mnt/crm")]
    for value in ("exports", "/", "/srv/../etc", "/srv,exports"):
        monkeypatch.setenv("NAME", value)
        with pytest.raises(ImproperlyConfigured, match="an absolute path is wanted"):
            env.folders("NAME")
