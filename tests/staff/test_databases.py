"""An administrator sets up a database with the pages alone: the database itself says what belongs to a table."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from apps.locations.models import Location
from apps.locations.services import config_of
from tests.staff.conftest import text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
PLACES = "/admin/locations/location/"


@pytest.fixture(autouse=True)
def _real_kinds(settings: Any) -> None:
    settings.CONNECTORS = {kind: path for kind, path in settings.CONNECTORS.items() if kind != "fake"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite3"
    connection = sqlite3.connect(path)
    connection.executescript("""
        CREATE TABLE customers (id integer PRIMARY KEY, email text UNIQUE);
        CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers (id));
        CREATE TABLE order_lines (id integer PRIMARY KEY, order_id integer REFERENCES orders (id));
        CREATE TABLE weather (day text PRIMARY KEY);
        INSERT INTO customers VALUES (1, 'ada@example.org'), (2, 'ben@example.org');
        INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2);
    """)
    connection.close()
    return path


def values(path: Path, *tables: dict[str, str], **more: str) -> dict[str, str]:
    posted = {
        "name": "Shop", "config-dialect": "sqlite", "config-database": str(path), "config-tls": "off",
        "config-horizon_days": "30", "config-tables-TOTAL_FORMS": str(len(tables)),
        "config-tables-INITIAL_FORMS": "0",
    }  # fmt: skip
    for number, table in enumerate(tables):
        posted |= {f"config-tables-{number}-{name}": value for name, value in table.items()}
    return posted | more


CUSTOMERS = {"table": "customers", "columns": "email", "kind": "email", "action": "delete"}
ORDERS = {"table": "orders", "columns": "customer_id", "parent": "customers", "action": "delete"}
LINES = {"table": "order_lines", "columns": "order_id", "parent": "orders", "action": "delete"}


def test_without_a_table_it_says_which_there_are(at_roots, own_places, shop):
    text = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, {"table": ""}, **{"config-offer": "1"})))
    assert "customers (email), order_lines, orders, weather" in text
    assert not Location.objects.filter(name="Shop").exists()


def test_what_belongs_to_a_table_is_found_and_filled_in(at_roots, own_places, shop):
    text = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, CUSTOMERS, **{"config-offer": "1"})))
    assert "2 tables belong to these" in text
    for shown in ('value="orders"', 'value="customer_id"', 'value="order_lines"', 'value="order_id"'):
        assert shown in text, shown
    assert 'value="weather"' not in text
    assert not Location.objects.filter(name="Shop").exists()


def test_it_is_tested_tried_and_saved(at_roots, own_places, shop):
    three = (CUSTOMERS, ORDERS, LINES)
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, *three, test="1")))
    assert "The database answers" in tested
    assert "Deletes the rows of customers, orders, order_lines" in tested
    search = {"try": "1", "search-kind": "email", "search-value": "ada@example.org", "search-purpose": "support"}
    tried = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, *three, **search)))
    assert "customers 1" in tried
    assert "orders 2" in tried
    at_roots.post(f"{PLACES}add/?kind=sql", values(shop, *three))
    place = Location.objects.get(name="Shop")
    assert [line["table"] for line in config_of(place)["tables"]] == ["customers", "orders", "order_lines"]
    page = at_roots.read(f"{PLACES}{place.pk}/change/")
    assert 'value="customer_id"' in page


def test_an_unlisted_table_is_warned_of(at_roots, own_places, shop):
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, CUSTOMERS, test="1")))
    assert "orders (customer_id) points to customers and is not among the tables" in tested


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([CUSTOMERS, ORDERS | {"parent": "people"}], "add it too"),
        ([CUSTOMERS | {"columns": ""}], "Write the column"),
        ([CUSTOMERS | {"parent": "orders"}], "Say one of the two"),
        ([CUSTOMERS | {"table": "a b"}], "put odd names into"),
        ([CUSTOMERS | {"kind": "E-Mail"}], "small letters"),
        ([CUSTOMERS, ORDERS | {"parent": "order_lines"}, LINES], "circle"),
        ([CUSTOMERS | {"action": "anonymise"}], "Name the columns to overwrite"),
        ([CUSTOMERS | {"action": "keep"}], "Say why"),
        ([CUSTOMERS, CUSTOMERS | {"columns": "id", "action": "keep", "why": "law"}], "two different ends"),
        ([CUSTOMERS, ORDERS | {"action": "keep", "why": "law"}], "nobody could tell whose they are"),
        ([{"table": ""}], "at least one table"),
    ],
)
def test_rules_that_cannot_work_are_refused_in_plain_words(at_roots, own_places, shop, tables, said):
    text = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, *tables)))
    assert said in text
    assert not Location.objects.filter(name="Shop").exists()


def test_a_block_taken_out_is_gone(at_roots, own_places, shop):
    at_roots.post(f"{PLACES}add/?kind=sql", values(shop, CUSTOMERS, ORDERS | {"DELETE": "on"}))
    place = Location.objects.get(name="Shop")
    assert [line["table"] for line in config_of(place)["tables"]] == ["customers"]


def test_a_database_that_cannot_be_asked_is_said_beside_the_tables(at_roots, own_places, tmp_path):
    posted = values(tmp_path / "gone.sqlite3", CUSTOMERS, **{"config-offer": "1"})
    assert "is the disk mounted?" in text_of(at_roots.post(f"{PLACES}add/?kind=sql", posted))


def test_a_password_for_another_address_is_not_sent_and_not_dropped_without_a_word(at_roots, own_places):
    posted = {
        "name": "Shop", "config-dialect": "postgresql", "config-host": "127.0.0.1", "config-port": "9", "config-database": "shop",
        "config-user": "habeas", "config-tls": "off", "config-horizon_days": "30", "config-tables-TOTAL_FORMS": "1",
        "config-tables-INITIAL_FORMS": "0",
    } | {f"config-tables-0-{name}": value for name, value in CUSTOMERS.items()}  # fmt: skip
    address, said, secret = f"{PLACES}add/?kind=sql", "Write it again.", {"config-password": "very-secret"}
    text = text_of(at_roots.post(address, posted | secret | {"test": "1"}))
    assert said not in text
    carried = {"sealed-secrets": text.split('name="sealed-secrets" value="')[1].split('"')[0]}
    assert said not in text_of(at_roots.post(address, posted | carried | {"test": "1"}))
    text = text_of(at_roots.post(address, posted | carried | {"config-port": "10", "test": "1"}))
    assert "Password: what you wrote was for another address and is not sent to this one. Write it again." in text
    assert said not in text_of(at_roots.post(address, posted | carried | secret | {"config-port": "10", "test": "1"}))
    assert said not in text_of(at_roots.post(address, posted | {"test": "1"}))  # there never was one
    at_roots.post(address, posted | secret)
    change = f"{PLACES}{Location.objects.get(name='Shop').pk}/change/"
    assert said not in text_of(at_roots.post(change, posted | {"test": "1"}))
    assert said in text_of(at_roots.post(change, posted | {"config-port": "10", "test": "1"}))


def test_trying_begins_with_a_kind_of_identity_that_the_settings_name(at_roots, own_places, shop):
    empty = text_of(at_roots.get(f"{PLACES}add/?kind=sql"))
    assert re.search(r'name="search-kind" value="user_id"', empty)
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, CUSTOMERS, test="1")))
    assert re.search(r'name="search-kind" value="email"', tested)
    both = {"table": "weather", "columns": "day", "kind": "user_id", "action": "delete"}
    tested = text_of(at_roots.post(f"{PLACES}add/?kind=sql", values(shop, CUSTOMERS, both, test="1")))
    assert re.search(r'name="search-kind" value="user_id"', tested)
