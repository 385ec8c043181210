"""What a database keeps by its settings stands on the receipt and in the letter, with the reason; nothing of it in the log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core import mail as outbox
from django.test import Client
from django.urls import reverse

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.locations.contract import Kept
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.mail.services import send_due_letters
from apps.records.models import Subject
from apps.requests import keeping, services
from apps.requests.models import Status
from tests.requests.conftest import approved, as_person, run, step_at
from tests.requests.test_erasure import result

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

TAX = "Invoices, 10 years, tax law"


def rule(table: str, **values: Any) -> dict[str, Any]:
    usual = {
        "kind": "email",
        "parent": "",
        "ignore_case": False,
        "action": "delete",
        "values": {},
        "why": "",
        "mark": "",
    }
    return {"table": table, "columns": ["email"]} | usual | values


@pytest.fixture
def shop(own_places: None, tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        for table in ("carts", "orders", "invoices"):
            database.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, email text, address text)")
            rows = [(number, "ada@example.org" if number % 2 else "ben@example.org", "home") for number in range(6)]
            database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        database.commit()
    orders = rule("orders", action="anonymise", values={"email": None, "address": "removed"}, why="Statistics")
    tables = [rule("carts"), orders, rule("invoices", action="keep", why=TAX)]
    config = {"dialect": "sqlite", "database": str(path), "horizon_days": 0, "tables": tables}
    save_location(Location(kind="sql", name="Shop", country="Ireland"), config=config, actor=Actor.system())
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.mark.slow
def test_the_receipt_and_the_letter_say_what_stays_and_why_and_the_log_does_not(ada: Subject, shop: Path) -> None:
    outbox.outbox.clear()
    filed = services.open_request(ada, kind="erasure", regime="gdpr", actor=as_person(ada))
    services.approve_request(filed.request, rule="command_line", actor=Actor.command_line())
    request = run(filed.request)
    assert request.status == Status.PARTLY_COMPLETED
    found = result(request, "Shop")
    assert found["counts"] == {"rows": 3, "rows overwritten": 3}
    assert sorted(found["kept"], key=lambda one: str(one["what"])) == [
        {"what": "invoices", "count": 3, "without": [], "why": TAX},
        {"what": "orders", "count": 3, "without": ["email", "address"], "why": "Statistics"},
    ]
    send_due_letters()
    [letter] = [message.body for message in outbox.outbox if "receipt" in message.subject]
    assert f"Shop, invoices: 3 items, unchanged ({TAX})" in letter
    assert "Shop, orders: 3 items, without email, address (Statistics)" in letter
    client = Client()
    client.post(reverse("portal:find"), {"reference": request.reference, "code": filed.code})
    page = client.get(reverse("portal:receipt", args=[request.reference])).content.decode()
    assert f"invoices: 3 items, unchanged ({TAX})" in page
    log = " ".join(str(entry.data) for entry in Entry.objects.all())
    assert "Statistics" not in log and "tax" not in log and "orders" not in log
    assert TAX.encode() not in bytes(step_at(request, "Shop").sealed_kept or b"")

    change(shop, "DELETE FROM invoices WHERE email LIKE 'ada%'")  # ten years later
    request.steps.filter(state="blocked").exclude(location=None).update(next_try_at=request.received_at)
    assert run(request).status == Status.COMPLETED
    [kept] = result(request, "Shop")["kept"]
    assert (kept["what"], kept["count"]) == ("orders", 3), "nobody finds those rows again: it is remembered"


@pytest.mark.slow
def test_nothing_is_said_to_stay_of_somebody_who_had_nothing_there(ada: Subject, shop: Path) -> None:
    for table in ("carts", "orders", "invoices"):
        change(shop, f"DELETE FROM {table} WHERE email LIKE 'ada%'")
    request = run(approved(ada))
    assert (request.status, result(request, "Shop")["kept"]) == (Status.COMPLETED, [])


def test_batches_add_up_and_a_second_look_never_makes_it_less() -> None:
    some, more = Kept("orders", 2, "why", ("email",)), Kept("orders", 3, "why", ("email",))
    whole = Kept("invoices", 4, "tax")
    assert keeping.added([some], [more]) == [Kept("orders", 5, "why", ("email",))]
    assert keeping.seen([more, whole], [some]) == [more], "what stood there whole may have gone since"
    assert keeping.seen([more], [Kept("invoices", 1, "tax")]) == [more, Kept("invoices", 1, "tax")]
