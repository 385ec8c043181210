"""A new administrator adds a bucket, then a table, by the pages alone; the next request goes there as well.

Both stay on one running site, whose people each ask for something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from playwright.sync_api import Browser

from tests.journeys.people import Person
from tests.journeys.site import Site, free_port, running
from tests.journeys.test_faults import file_request, wait_for
from tests.services import MariaDB, mariadb  # noqa: F401

pytestmark = [pytest.mark.thorough, pytest.mark.browser]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(Site(tmp_path_factory.mktemp("site"))) as started:
        started.manage("make_sample_people")
        yield started


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, Any]]:
    """A bucket whose server can be stopped and started again with what it holds (moto keeps it in this process)."""
    port = free_port()
    servers = [ThreadedMotoServer(ip_address="127.0.0.1", port=port)]
    servers[0].start()
    address = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="support")
    client.put_object(Bucket="support", Key="tickets/ada@sample.example/1.txt", Body=b"a ticket of Ada")
    client.put_object(Bucket="support", Key="tickets/ben@sample.example/1.txt", Body=b"a ticket of Ben")

    def start_again() -> None:
        servers.append(ThreadedMotoServer(ip_address="127.0.0.1", port=port))
        servers[-1].start()

    yield {"address": address, "client": client, "stop": lambda: servers[-1].stop(), "start": start_again}
    servers[-1].stop()


def at_the_form(site: Site, browser: Browser, kind: str) -> Person:
    root = Person.sit_down(site, browser, "root")
    root.sign_in(then="/admin/")
    root.go(f"/admin/locations/location/add/?kind={kind}")
    return root


def test_a_bucket_added_in_the_admin_takes_part_and_is_waited_for_while_it_is_down(
    site: Site, browser: Browser, bucket: dict[str, Any], tmp_path: Path
) -> None:
    root = at_the_form(site, browser, "s3")
    fields = {
        "Name": "Support files", "Bucket": "support", "Address": bucket["address"], "Access key": "k", "Secret key": "s",
        "Where a person": "tickets/{email}/",
    }  # fmt: skip
    for label, value in fields.items():
        root.page.get_by_label(label).first.fill(value)
    root.page.locator("[name=search-kind]").fill("email")
    root.page.locator("[name=search-value]").fill("ada@sample.example")
    root.press("Count what it finds")
    root.sees("1 found")
    root.press("Save this place")  # the secret is kept until then
    root.sees("Saved.")

    access = file_request(site, "ada@sample.example", "access")
    wait_for(site, access, "completed")
    archive = tmp_path / "archive.zip"
    site.manage("fetch_archive", access, "--output", str(archive), "--reason", "test")
    assert b"places/s3-" in archive.read_bytes()

    bucket["stop"]()
    erasure = file_request(site, "ada@sample.example", "erasure")
    # Own rows wait for no outside place; for a day the request waits for it before it says "partly".
    found = wait_for(site, erasure, "running", steps={"purge s3": "blocked", "purge records": "done"})
    assert found["steps"]["purge s3"][1] == "unreachable"
    bucket["start"]()
    wait_for(site, erasure, "completed")
    keys = [found["Key"] for found in bucket["client"].list_objects_v2(Bucket="support").get("Contents", [])]
    assert keys == ["tickets/ben@sample.example/1.txt"]


@pytest.fixture
def shop(mariadb: MariaDB) -> MariaDB:  # noqa: F811
    """A shop's database, and an account that may do there what the form says and nothing else."""
    mariadb.run("CREATE DATABASE shop CHARACTER SET utf8mb4")
    mariadb.run(
        "CREATE TABLE customers (id int PRIMARY KEY, email varchar(100) UNIQUE, name varchar(100))",
        "CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, what varchar(100), "
        "FOREIGN KEY (customer_id) REFERENCES customers (id))",
        "INSERT INTO customers VALUES (1, 'ben@sample.example', 'Ben'), (2, 'cleo@sample.example', 'Cleo')",
        "INSERT INTO orders VALUES (1, 1, 'tea'), (2, 1, 'rice'), (3, 2, 'ink')",
        database="shop",
    )
    for host in ("localhost", "%"):
        mariadb.run(
            f"CREATE USER habeas@'{host}' IDENTIFIED BY 'very-secret'",
            f"GRANT SELECT, DELETE, UPDATE ON shop.* TO habeas@'{host}'",
        )
    return mariadb


def ids_in(shop: MariaDB, table: str) -> list[int]:
    with shop.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.services
def test_a_table_of_mariadb_is_added_tested_tried_and_saved_in_the_admin_and_takes_part(
    site: Site, browser: Browser, shop: MariaDB
) -> None:
    root = at_the_form(site, browser, "sql")
    root.page.get_by_label("Kind of database").select_option(label="MySQL or MariaDB")
    root.page.get_by_label("Encryption of the connection").select_option(index=2)
    fields = {
        "name": "Shop", "config-host": "127.0.0.1", "config-port": str(shop.port), "config-database": "shop",
        "config-user": "habeas", "config-password": "very-secret", "config-horizon_days": "30",
        "config-tables-0-table": "customers", "config-tables-0-columns": "email", "config-tables-0-kind": "email",
    }  # fmt: skip
    for name, value in fields.items():
        root.page.locator(f"[name={name}]").fill(value)
    root.press("Find what belongs to these tables")
    root.sees("1 table belongs to these")
    assert root.page.locator("[name=config-tables-1-table]").input_value() == "orders"
    assert root.page.locator("[name=config-tables-1-parent]").input_value() == "customers"
    root.press("Test these settings")
    root.sees("The database answers")
    root.sees("Deletes the rows of customers, orders")
    root.page.locator("[name=search-kind]").fill("email")
    root.page.locator("[name=search-value]").fill("ben@sample.example")
    root.press("Count what it finds")
    root.sees("3 found: customers 1, orders 2")
    assert "very-secret" not in root.page.content()
    root.press("Save this place")
    root.sees("Saved.")

    wait_for(site, file_request(site, "ben@sample.example", "erasure"), "completed")
    assert (ids_in(shop, "customers"), ids_in(shop, "orders")) == ([2], [3])
