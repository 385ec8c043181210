"""Opening SQL databases: what goes wrong is said in our words, and told apart by what helps."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from apps.locations import sql, sqlite_file
from apps.locations.errors import LocationError, Refused, Unavailable
from tests.services import MariaDB, Postgres

SECRET_WORDS = "ada@example.org"


def ask(config: dict[str, Any], *statements: str) -> list[Any]:
    with sql.foreign_errors(), sql.engine_of(config).begin() as connection:
        return [connection.execute(text(statement)) for statement in statements]


def trouble(config: dict[str, Any], *statements: str) -> LocationError:
    with pytest.raises(LocationError) as raised:
        ask(config, *statements)
    assert SECRET_WORDS not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return raised.value


@pytest.fixture
def on_postgres(postgres: Postgres) -> dict[str, Any]:
    return {"dialect": "postgresql", "host": "127.0.0.1", "port": postgres.port, "database": "postgres",
            "user": "postgres", "tls": "off"}  # fmt: skip


@pytest.fixture
def on_mariadb(mariadb: MariaDB) -> dict[str, Any]:
    return {"dialect": "mysql", "host": "127.0.0.1", "port": mariadb.port, "database": "mysql",
            "user": "root", "tls": "off"}  # fmt: skip


@pytest.fixture
def in_a_file(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "shop.sqlite3"
    sqlite3.connect(path).close()
    path.touch()
    return {"dialect": "sqlite", "database": str(path)}


@pytest.fixture(
    params=[
        "in_a_file",
        pytest.param("on_postgres", marks=pytest.mark.services),
        pytest.param("on_mariadb", marks=pytest.mark.services),
    ]
)
def config(request: Any) -> dict[str, Any]:
    made: dict[str, Any] = request.getfixturevalue(request.param)
    return made


def test_a_statement_is_carried_out(config: dict[str, Any]) -> None:
    assert ask(config, "SELECT 1")


def test_a_table_that_is_not_there_is_refused(config: dict[str, Any]) -> None:
    assert isinstance(trouble(config, f"SELECT '{SECRET_WORDS}' FROM nothing_here"), Refused)


@pytest.mark.services
def test_nobody_listens_is_unavailable(on_postgres: dict[str, Any], on_mariadb: dict[str, Any]) -> None:
    for config in (on_postgres, on_mariadb):
        assert isinstance(trouble(config | {"port": 9}), Unavailable)


@pytest.mark.services
def test_wrong_credentials_and_databases_are_refused(
    mariadb: MariaDB,
    on_postgres: dict[str, Any],
    on_mariadb: dict[str, Any],
) -> None:
    mariadb.run("CREATE OR REPLACE USER habeas@'127.0.0.1' IDENTIFIED BY 'right'")
    wrong = on_mariadb | {"user": "habeas", "password": "wrong", "database": None}
    assert isinstance(trouble(wrong, "SELECT 1"), Refused)
    for config in (on_postgres, on_mariadb):
        assert isinstance(trouble(config | {"database": "nothing_here"}, "SELECT 1"), Refused)


@pytest.mark.services
def test_encryption_that_the_server_does_not_speak_is_refused_and_never_given_up(
    on_postgres: dict[str, Any], on_mariadb: dict[str, Any]
) -> None:
    for config in (on_postgres, on_mariadb):
        for mode in ("encrypt", "verify"):
            error = trouble(config | {"tls": mode}, "SELECT 1")
            assert isinstance(error, Refused), (config["dialect"], mode)
            assert "check the certificate and the TLS setting" in str(error), (config["dialect"], mode)


def test_a_file_that_is_not_there_is_unavailable_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "gone.sqlite3"
    assert isinstance(trouble({"dialect": "sqlite", "database": str(path)}), Unavailable)
    assert not path.exists()


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 100)
    assert isinstance(trouble({"dialect": "sqlite", "database": str(path)}, "SELECT * FROM sqlite_master"), Refused)


def test_a_locked_file_is_unavailable(in_a_file: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "LOCK_SECONDS", 0)
    ask(in_a_file, "CREATE TABLE t (a)")
    other = sqlite3.connect(in_a_file["database"])
    other.execute("BEGIN EXCLUSIVE")
    assert isinstance(trouble(in_a_file, "INSERT INTO t VALUES (1)"), Unavailable)
    other.close()


def test_a_foreign_key_is_told_apart(config: dict[str, Any]) -> None:
    ask(config, "DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS parent",
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        "CREATE TABLE child (id integer PRIMARY KEY, parent_id integer, FOREIGN KEY (parent_id) REFERENCES parent (id))",
        "INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1)")  # fmt: skip
    assert isinstance(trouble(config, "DELETE FROM parent"), sql.ForeignKeyForbids)
    ask(config, "DROP TABLE child", "DROP TABLE parent")


def journal_that_names(file: Path) -> bytes:
    """What SQLite plays back and then forgets, with the super-journal that it deletes at the end."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(file).encode()
    head = magic + struct.pack(">IIIII", 0, 1, 2, 512, 4096)  # two pages
    end = name + struct.pack(">II", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + struct.pack(">I", 0x40000000 // 4096 + 1) + end


@pytest.mark.parametrize("ending", ["", "-mj4F2A119C3"])
def test_a_journal_that_would_have_another_file_deleted_is_not_played_back(in_a_file, tmp_path, ending):
    ask(in_a_file, "CREATE TABLE shop (id INTEGER PRIMARY KEY)")
    other = tmp_path / f"records.sqlite3{ending}"
    other.write_bytes(b"x")
    journal = Path(f"{in_a_file['database']}-journal")
    journal.write_bytes(journal_that_names(other))
    if ending:  # so SQLite calls its own, and an application that was killed has left it
        ask(in_a_file, "SELECT * FROM shop")
    else:
        assert type(trouble(in_a_file, "SELECT * FROM shop")) is Refused
    assert other.exists() != bool(ending)
    journal.unlink(missing_ok=True)
    ask(in_a_file, "SELECT * FROM shop")


def test_a_file_that_became_a_link_or_has_another_name_is_not_opened(in_a_file, tmp_path, settings, monkeypatch):
    ours, roots = tmp_path / "ours.sqlite3", tmp_path / "places"
    sqlite3.connect(ours).close()
    ours.touch()
    roots.mkdir()
    settings.LOCATION_ROOTS = [str(roots)]
    place = {"dialect": "sqlite", "database": str(roots / "shop.sqlite3")}
    (roots / "shop.sqlite3").symlink_to(ours)
    assert type(trouble(place, "SELECT 1")) is Refused
    with monkeypatch.context() as patched:  # the link was put there just after the look
        patched.setattr(sqlite_file, "check", lambda path: None)
        assert type(trouble(place, "SELECT 1")) is Refused
    (roots / "shop.sqlite3").unlink()
    (roots / "shop.sqlite3").hardlink_to(ours)
    assert type(trouble(place, "SELECT 1")) is Refused
    ours.unlink()
    ask(place, "SELECT 1")
