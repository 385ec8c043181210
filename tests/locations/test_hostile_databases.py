"""A database server that turns hostile reads no file of ours, learns no password, and takes neither time nor memory without end."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from apps.locations import deadlines, mongo, sql
from apps.locations.connectors.mongodb.connector import MongoConnector
from apps.locations.connectors.sql.connector import SqlConnector
from apps.locations.errors import LocationError, Refused, Unavailable
from tests.locations.rogue import (
    ASKS_FOR_THE_PASSWORD,
    OK,
    READY,
    SIGNED_IN,
    Rogue,
    Script,
    listen,
    message,
    mysql,
    packet,
    postgresql,
    rogue,
)

SECRET = "the secret of the place"
OF_THE_MACHINE = "the secret of the machine"


def config(dialect: str, port: int, **more: Any) -> dict[str, Any]:
    place = {"host": "127.0.0.1", "port": port, "database": "shop", "user": "habeas", "password": SECRET, "tls": "off"}
    return {"dialect": dialect, "tables": []} | place | more


def trouble(server: Rogue, dialect: str, **more: Any) -> LocationError:
    with pytest.raises(LocationError) as raised, sql.connected(config(dialect, server.port, **more)) as connection:
        connection.exec_driver_sql("SELECT 1").all()
    return raised.value


def test_a_server_that_asks_for_a_file_of_ours_gets_none(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text("in our file")

    def asks_for_the_file(said: bytes) -> Iterator[bytes]:
        yield b"\xfb" + str(file).encode()  # LOCAL INFILE request

    with rogue(mysql(asks_for_the_file)) as server:
        assert isinstance(trouble(server, "mysql"), Refused)
        assert not any(b"in our file" in said for said in server.heard)
        assert any(said.startswith(b"\x03") for said in server.heard)  # it came to a statement


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"mysql_old_password", b"dialog"])
def test_a_server_that_asks_for_the_password_in_the_clear_gets_none(plugin: bytes) -> None:
    with rogue(mysql(lambda _said: [OK], asks_for=plugin)) as server:
        assert isinstance(trouble(server, "mysql"), Refused)
        assert not any(SECRET.encode() in said for said in server.heard)
        assert len(server.heard) == 1


def test_nor_does_one_of_postgresql() -> None:
    with rogue(postgresql(ASKS_FOR_THE_PASSWORD, listen)) as server:
        trouble(server, "postgresql")
        assert not any(SECRET.encode() in said for said in server.heard)


def test_a_place_without_a_password_does_not_get_that_of_the_machine(tmp_path: Any, monkeypatch: Any) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:*:{OF_THE_MACHINE}\n")
    passwords.chmod(0o600)
    with rogue(postgresql(message(b"R", struct.pack("!I", 5) + b"salt"), listen)) as server:  # MD5
        for name, value in (("PGPASSFILE", str(passwords)), ("PGPASSWORD", OF_THE_MACHINE)):
            with monkeypatch.context() as environment:
                environment.setenv(name, value)
                trouble(server, "postgresql", password="")
                assert not any(said.startswith(b"p") for said in server.heard), name


@pytest.mark.parametrize("host", ["/var/run/postgresql", "@socket", "db.example.org,/var/run/postgresql", "a b", "h'"])
@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_host_is_one_host_and_no_socket(dialect: str, host: str) -> None:
    health_of = SqlConnector(config(dialect, 5432, host=host))
    with pytest.raises(Refused, match="host"):
        health_of.check()
    with pytest.raises(Refused, match="host"):
        sql.engine_of(config(dialect, 5432, host=host))


@pytest.mark.parametrize(
    "hosts",
    [
        "db.example.org/?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:gcp", "user:word@db.example.org",
        "db.example.org/?tlsCertificateKeyFile=/etc/ssl/key.pem&x=", "%2Ftmp%2Fmongodb.sock", "a.example.org,b?c",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_srv", [False, True])
def test_hosts_are_hosts_and_no_options_of_the_driver(hosts: str, is_srv: bool) -> None:
    settings = {"hosts": hosts, "is_srv": is_srv, "database": "d", "collections": [], "tls": "off"}
    with pytest.raises(Refused, match="hosts"):
        MongoConnector(settings).check()


@pytest.mark.parametrize("hosts", ["db.example.org", "10.0.0.1:27017, [::1]:27018", "db_1:27017"])
def test_hosts_that_are_hosts_are_taken(hosts: str) -> None:
    mongo.client_of({"hosts": hosts, "tls": "off"}).close()


def drips(first: bytes, again: bytes) -> Script:
    def statement(connection: socket.socket, server: Rogue) -> None:
        connection.recv(65536)
        server.send(connection, first)
        while not server.ended.wait(0.02):
            server.send(connection, again)

    return postgresql(SIGNED_IN, statement)


ROW = message(b"D", struct.pack("!HI", 1, 1) + b"x")
COLUMNS = message(b"T", struct.pack("!H", 1) + b"c\0" + struct.pack("!IHIhIH", 0, 0, 25, -1, 0xFFFFFFFF, 0))


def mysql_drips(connection: socket.socket, server: Rogue) -> None:
    server.send(connection, packet(1, b"\x01") + b"\xff\xff\x00\x02")  # a column, of which 65,535 bytes are to come
    while not server.ended.wait(0.02):
        server.send(connection, b"x")


def mysql_greets_without_end(connection: socket.socket, server: Rogue) -> None:
    server.send(connection, b"\xff\xff\x00\x00")
    while not server.ended.wait(0.02):
        server.send(connection, b"x")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(deadlines, "_watchdog", deadlines.Watchdog())


@pytest.mark.usefixtures("_impatient")
def test_a_statement_whose_answer_drips_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "PATIENCE_SECONDS", 0.2)
    scripts = [
        ("postgresql", drips(COLUMNS, ROW)), ("mysql", mysql(lambda _said: [OK], at_a_select=mysql_drips)),
        ("mysql", mysql_greets_without_end),
    ]  # fmt: skip
    for dialect, script in scripts:
        with rogue(script) as server:
            began = time.monotonic()
            assert isinstance(trouble(server, dialect), Unavailable)
            assert time.monotonic() - began < 10


@pytest.mark.usefixtures("_impatient")
def test_an_answer_that_fills_the_memory_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([0, 0])
    monkeypatch.setattr(deadlines, "memory_used", lambda: next(used, deadlines.MOST_GROWTH + 1))
    with rogue(drips(COLUMNS, ROW)) as server:
        assert isinstance(trouble(server, "postgresql"), Unavailable)


def test_whoever_looks_gives_up_on_a_database_without_end(tmp_path: Any) -> None:
    def answer(connection: socket.socket, server: Rogue) -> None:
        while said := connection.recv(65536):
            server.heard.append(said)
            server.send(connection, message(b"I", b"") + READY)

    with rogue(postgresql(SIGNED_IN, answer)) as server:
        engine = sql.engine_of(config("postgresql", server.port))
        with pytest.raises(Unavailable), sql.foreign_errors(), deadlines.looking_for(0.0), engine.connect():
            pass


def test_a_server_that_breaks_its_protocol_is_refused_in_our_words() -> None:
    with rogue(mysql(lambda _said: [b"\x01", b"\xfc"])) as server:
        assert isinstance(trouble(server, "mysql"), LocationError)
    with rogue(
        postgresql(SIGNED_IN, lambda connection, server: server.send(connection, READY * 3 + b"?" * 64))
    ) as server:
        assert isinstance(trouble(server, "postgresql"), LocationError)
