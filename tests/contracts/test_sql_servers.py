"""What differs from server to server: encryption, permissions, schemas, history, keys of several columns, odd text."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.locations import sql
from apps.locations.connectors.sql.connector import SqlConnector
from apps.locations.contract import Change, Identity
from apps.locations.errors import Refused
from tests.contracts.databases import SHOP_RULES, SqlPlace, sql_place
from tests.contracts.test_sql import SCOPE, erase, exported, lines, shop, tables_found
from tests.services import MariaDB, Postgres

__all__ = ["shop"]
NOTES = SHOP_RULES[3]


@pytest.fixture
def on_postgres(postgres: Postgres, tmp_path: Path) -> SqlPlace:
    return sql_place("postgresql", postgres, tmp_path)


@pytest.fixture
def on_mariadb(mariadb: MariaDB, tmp_path: Path) -> SqlPlace:
    return sql_place("mysql", mariadb, tmp_path)


def known_as(ada: Identity, value: str) -> Identity:
    return Identity(ada.subject_id, None, None, (("email", value),))


# Correcting and restricting


def test_a_value_is_corrected_in_the_persons_rows_alone_and_once(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    assert (
        shop.connector.rectify(ada, [Change("customers.name", "Ada L."), Change("body", "said", before="nothing")]) == 1
    )
    assert shop.run("SELECT id, name FROM customers WHERE id < 3 ORDER BY id") == [(1, "Ada L."), (2, "Ben")]
    assert shop.connector.rectify(ada, [Change("name", "Ada L.")]) == 0, "a repeat changes nothing"
    assert shop.connector.rectify(ada, [Change("name", None)]) == 1
    assert shop.run("SELECT name FROM customers WHERE id = 1") == [(None,)]


def test_a_correction_of_which_one_part_is_refused_changes_nothing(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    before = shop.everything()
    for changes in (
        [Change("name", "Ada L."), Change("gone", "x")],
        [Change("name", "Ada L."), Change("order_lines.line", "x")],
    ):
        if shop.dialect == "sqlite" and changes[1].field == "order_lines.line":
            continue  # it takes text in a column of numbers
        with pytest.raises(Refused):
            shop.connector.rectify(ada, changes)
        assert shop.everything() == before


def test_rows_are_marked_as_restricted_and_freed_again(shop: SqlPlace, ada: Identity) -> None:
    shop.fill()
    kind = "boolean" if shop.dialect == "postgresql" else "integer"
    shop.run(f"ALTER TABLE notes ADD COLUMN halted {kind}")
    connector = shop.with_rules(NOTES | {"mark": "halted"})
    assert (connector.restrict(ada, True), connector.restrict(ada, True)) == (3, 0)
    assert shop.run("SELECT count(*) FROM notes WHERE halted IS NULL AND user_id = 42") == [(3,)]
    assert connector.restrict(ada, False) == 3
    assert [bool(row[0]) for row in shop.run("SELECT halted FROM notes WHERE user_id = 4")] == [False] * 3
    with pytest.raises(Refused):
        shop.connector.restrict(ada, True)


# Encryption of the connection


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself; return it and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.mark.services
def test_an_encrypted_connection_is_made_only_to_a_server_that_can_be_checked(
    postgres: Postgres, on_postgres: SqlPlace, tmp_path: Path
) -> None:
    here, other = (tmp_path / name for name in ("here", "other"))
    here.mkdir()
    other.mkdir()
    mine, key = certificate(here)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        data = Path(connection.execute("SHOW data_directory").fetchone()[0])  # type: ignore[index]
        for path in (mine, key):
            shutil.copy(path, data / path.name)
            os.chown(data / path.name, data.stat().st_uid, data.stat().st_gid)
            (data / path.name).chmod(0o600)
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
    strict = on_postgres.config | {"tls": "verify", "ca_file": str(mine)}
    for _attempt in range(50):  # the server reads its settings a moment later
        try:
            with sql.connected(strict) as connected:
                used = connected.exec_driver_sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
            break
        except Refused:
            continue
    assert used is True
    assert SqlConnector(on_postgres.config | {"tls": "encrypt"}).check().is_reachable
    for config in (strict | {"ca_file": str(certificate(other)[0])}, strict | {"host": "localhost"}):
        with pytest.raises(Refused, match="encrypted connection"):
            SqlConnector(config).check()


@pytest.mark.services
@pytest.mark.parametrize("tls", ["encrypt", "verify"])
def test_a_server_without_encryption_is_not_spoken_to_in_clear(on_mariadb: SqlPlace, tls: str) -> None:
    with pytest.raises(Refused):
        SqlConnector(on_mariadb.config | {"tls": tls}).check()
    assert on_mariadb.connector.check().is_reachable


# Permissions


@pytest.mark.services
@pytest.mark.parametrize("kind", ["on_postgres", "on_mariadb"])
def test_a_missing_permission_is_named_and_nothing_is_touched(
    kind: str, request: pytest.FixtureRequest, ada: Identity
) -> None:
    place: SqlPlace = request.getfixturevalue(kind)
    place.fill()
    user = f"reader{uuid.uuid4().hex[:8]}"
    make = f"CREATE ROLE {user} LOGIN" if kind == "on_postgres" else f"CREATE USER {user}"
    place.run(make, f"GRANT SELECT ON notes TO {user}")
    config = place.config | {"user": user, "tables": place.with_rules(NOTES)._config["tables"]}
    connector, before = SqlConnector(config), place.everything()
    assert [problem for problem in connector.check().problems if "DELETE" in problem and "notes" in problem]
    assert tables_found(connector, ada) == {"notes": 3}
    with pytest.raises(Refused):
        erase(connector, ada)
    assert place.everything() == before
    place.run(f"GRANT DELETE ON notes TO {user}")
    assert connector.check().problems == ()
    assert erase(connector, ada) == 3


# Schemas, history, keys of several columns


@pytest.mark.services
def test_tables_of_several_schemas_are_told_apart(on_postgres: SqlPlace, ada: Identity) -> None:
    on_postgres.run(
        "CREATE SCHEMA crm",
        'CREATE SCHEMA "odd.schema"',
        "CREATE TABLE crm.notes (id integer PRIMARY KEY, user_id integer)",
        'CREATE TABLE "odd.schema"."odd table" (id integer PRIMARY KEY, note integer REFERENCES crm.notes (id))',
        "INSERT INTO crm.notes VALUES (1, 4), (2, 42)",
        'INSERT INTO "odd.schema"."odd table" VALUES (1, 1), (2, 2)',
        "INSERT INTO notes (id, user_id) VALUES ('public', 4)",
    )
    person = {"table": "crm.notes", "columns": ["user_id"], "kind": "user_id"}
    [obstacle] = on_postgres.with_rules(person).preflight(ada, SCOPE)
    assert (obstacle.reason, obstacle.count) == ("foreign_key", 1), "a key from another schema is seen"
    child = {"table": '"odd.schema"."odd table"', "columns": ["note"], "parent": "crm.notes"}
    connector = on_postgres.with_rules(person, child)
    assert connector.preflight(ada, SCOPE) == []
    assert erase(connector, ada) == 2
    assert on_postgres.run("SELECT id FROM notes WHERE user_id = 4") == [("public",)]
    assert on_postgres.run('SELECT id FROM crm.notes UNION ALL SELECT id FROM "odd.schema"."odd table"') == [(2,), (2,)]


@pytest.mark.services
def test_a_key_from_another_schema_of_the_server_is_seen(on_mariadb: SqlPlace, ada: Identity) -> None:
    other = f"other_{uuid.uuid4().hex[:8]}"
    [(own,)] = on_mariadb.run("SELECT DATABASE()")
    on_mariadb.run(
        "CREATE TABLE talks (id integer PRIMARY KEY, user_id integer)",
        "INSERT INTO talks VALUES (1, 4), (2, 42)",
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.remarks (id integer PRIMARY KEY, talk integer, FOREIGN KEY (talk) REFERENCES {own}.talks (id))",
        f"INSERT INTO {other}.remarks VALUES (1, 1), (2, 2)",
    )
    try:
        talks = {"table": "talks", "columns": ["user_id"], "kind": "user_id"}
        [obstacle] = on_mariadb.with_rules(talks).preflight(ada, SCOPE)
        assert (obstacle.reason, obstacle.count) == ("foreign_key", 1)
        child = {"table": f"{other}.remarks", "columns": ["talk"], "parent": "talks"}
        connector = on_mariadb.with_rules(talks, child)
        assert connector.preflight(ada, SCOPE) == []
        assert erase(connector, ada) == 2, "the children first"
        assert on_mariadb.run(f"SELECT id FROM {other}.remarks") == [(2,)]
    finally:
        on_mariadb.run(f"DROP DATABASE {other}")


@pytest.mark.services
def test_a_table_that_keeps_its_history_is_said_to(on_mariadb: SqlPlace, ada: Identity) -> None:
    on_mariadb.run(
        "CREATE TABLE talks (id integer PRIMARY KEY, user_id integer) WITH SYSTEM VERSIONING",
        "INSERT INTO talks VALUES (1, 4), (2, 42)",
    )
    connector = on_mariadb.with_rules({"table": "talks", "columns": ["user_id"], "kind": "user_id"})
    assert [problem for problem in connector.check().problems if "talks" in problem and "history" in problem]
    assert not [problem for problem in on_mariadb.connector.check().problems if "history" in problem]
    assert erase(connector, ada) == 1
    assert on_mariadb.run("SELECT id FROM talks FOR SYSTEM_TIME ALL ORDER BY id") == [(1,), (2,)]


def test_keys_of_several_columns_lead_from_a_parent_to_its_children(shop: SqlPlace, ada: Identity) -> None:
    shop.run(
        "CREATE TABLE people (tenant integer, number integer, user_id integer, PRIMARY KEY (tenant, number))",
        "CREATE TABLE calls (id integer PRIMARY KEY, tenant integer, person integer, "
        "FOREIGN KEY (tenant, person) REFERENCES people (tenant, number))",
    )
    shop.insert("people", [{"tenant": t, "number": n, "user_id": 4 if t == n else 42} for t in (1, 2) for n in (1, 2)])
    shop.insert(
        "calls", [{"id": 4 * t + 2 * n + c, "tenant": t, "person": n} for t in (1, 2) for n in (1, 2) for c in (0, 1)]
    )
    connector = shop.with_rules(
        {"table": "people", "columns": ["user_id"], "kind": "user_id"},
        {"table": "calls", "columns": ["tenant", "person"], "parent": "people"},
    )
    assert tables_found(connector, ada) == {"people": 2, "calls": 4}
    for stop_after in (1, 10**9):
        assert len(lines(exported(connector, ada, stop_after=stop_after)["02-calls.jsonl"])) == 4
    assert erase(connector, ada) == 6
    assert connector.remaining(ada, SCOPE).count == 0
    assert shop.run("SELECT tenant, person FROM calls ORDER BY id") == [(1, 2), (1, 2), (2, 1), (2, 1)]


# Text that is not UTF-8


@pytest.mark.services
def test_text_in_another_encoding_is_found_and_read_as_text(
    postgres: Postgres, on_mariadb: SqlPlace, ada: Identity
) -> None:
    name = f"latin{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
    config: dict[str, Any] = {"dialect": "postgresql", "host": "127.0.0.1", "port": postgres.port, "tls": "off"}
    latin = SqlPlace(config | {"database": name, "user": "postgres"}, only_notes=True)
    rule = {"table": "texts", "columns": ["email"], "kind": "email"}
    for place, kind in ((latin, "varchar(40)"), (on_mariadb, "varchar(40) CHARACTER SET latin1")):
        place.run(f"CREATE TABLE texts (id integer PRIMARY KEY, email {kind}, body {kind})")
        place.insert(
            "texts",
            [{"id": n, "email": email, "body": "ça va"} for n, email in enumerate(["josé@x.org", "jose@x.org"])],
        )
        connector = place.with_rules(rule)
        who = known_as(ada, "josé@x.org")
        assert [line["body"] for line in lines(exported(connector, who)["01-texts.jsonl"])] == ["ça va"]
        with pytest.raises(Refused):  # it cannot be asked for: a case for a person, never "nothing there"
            list(connector.find(known_as(ada, "日记@x.org"), SCOPE))
        assert erase(connector, who) == 1
        assert place.run("SELECT email FROM texts") == [("jose@x.org",)]
