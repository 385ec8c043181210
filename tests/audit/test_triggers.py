"""The database itself refuses to change what the log holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from apps.audit import services, triggers
from apps.audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from tests.audit.conftest import past_the_triggers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_without_commits")]

TABLES: list[Any] = [Entry, Leaf, Tile, Checkpoint]
CHANGES = [
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "DELETE FROM {table} WHERE {column} IS NOT NULL",
]
if connection.vendor == "sqlite":
    CHANGES += [
        "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "REPLACE INTO {table} SELECT * FROM {table}",
        "UPDATE OR IGNORE {table} SET {column} = {column}",
    ]
else:
    CHANGES += ["TRUNCATE {table} CASCADE"]


@pytest.fixture
def full_log(write):
    write(260)
    services.sequence()
    assert all(table.objects.exists() for table in TABLES)
    connection.check_constraints()  # PostgreSQL truncates nothing while rows wait to be checked


@pytest.mark.parametrize("model", TABLES)
def test_nothing_in_the_log_is_changed_or_deleted(full_log, model):
    before = list(model.objects.order_by("pk").values_list())
    for change in CHANGES:
        statement = change.format(table=model._meta.db_table, column=f'"{model._meta.pk.column}"')
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert list(model.objects.order_by("pk").values_list()) == before


def test_the_places_of_two_leaves_cannot_be_swapped_by_an_upsert(full_log):
    leaves = list(Leaf.objects.order_by("index")[1:3])
    swapped = [Leaf(index=leaves[0].index, entry=leaves[1].entry, leaf_hash=leaves[1].leaf_hash)]
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Leaf.objects.bulk_create(
            swapped, update_conflicts=True, unique_fields=["index"], update_fields=["entry", "leaf_hash"]
        )


def test_pending_rows_come_and_go(full_log, write):
    write(1)
    assert Pending.objects.all().delete()[0] == 1


def test_without_the_triggers_the_same_statements_pass(full_log):
    """The positive control: it is the triggers that refuse."""
    with past_the_triggers(), connection.cursor() as cursor:
        cursor.execute("UPDATE audit_entry SET about = ''")
        cursor.execute("DELETE FROM audit_leaf")
        assert not Leaf.objects.exists()
    triggers.install(connection)  # a repeat changes nothing
