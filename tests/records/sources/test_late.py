"""Rows that come late, with odd times or with none: each comes in, or is said not to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.records.models import Conversation, SourceRun, Subject
from apps.records.sources import keeping, running
from apps.records.sources.reading import earlier, freeze, thaw
from tests.clock import Clock
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import COLUMNS, DATABASES, START, Chats, add, read, said

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
BEGUN = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_storage(storage: Path) -> None:
    """Files of conversations go into a folder of the test's own."""


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def minutes_from_start(moment: datetime) -> int:
    return int((moment - START.replace(tzinfo=UTC)).total_seconds() // 60)


def test_a_row_of_a_clock_that_is_wrong_does_not_hide_what_comes_after_it(ada: Subject, place: Place) -> None:
    chats = Chats(place)
    chats.say("ada@example.org", "c1", "In years", minutes=60 * 24 * 365 * 20)
    source = add(place, COLUMNS)
    assert read(source)["conversations"] == 1
    chats.say("ada@example.org", "c2", "Now", minutes=minutes_from_start(timezone.now()))
    assert read(source)["conversations"] == 1
    assert said(ada)["About c2"] == ["Now"]


def test_rows_without_the_time_of_change_or_a_conversation_are_said_not_to_be_found(ada: Subject, place: Place) -> None:
    chats = Chats(place)
    chats.say("ada@example.org", "c1", "Hello")
    source = add(place, COLUMNS)
    assert "skipped" not in read(source)
    chats.say("ada@example.org", "c2", "Never changed")
    chats.run("UPDATE chats SET changed_at = NULL WHERE chat = 'c2'")
    chats.run("INSERT INTO chats (id, email, words) VALUES (99, 'ada@example.org', 'In no conversation')")
    assert read(source)["skipped"] == 1
    [[where, why]] = running.report_of(SourceRun.objects.order_by("-started_at")[0])["troubles"]
    assert where == "chats, rows without a value in chat, changed_at: 2"
    assert why == "Rows are found by it."


def test_after_a_month_all_is_read_again_so_that_what_came_too_late_comes_in(
    ada: Subject, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello", minutes=5000)
    chats.say("carl@example.org", "c2", "Who is that?", minutes=4999)
    source = add(sqlite_place, COLUMNS)
    read(source)
    chats.say("ada@example.org", "c3", "Of a week ago", minutes=10)
    clock.at += running.WHOLE_AGAIN - timedelta(minutes=1)
    assert read(source).get("conversations", 0) == 0
    clock.at += timedelta(minutes=1)
    assert read(source)["conversations"] == 1
    assert len(said(ada)) == 2
    chats.say("ada@example.org", "c4", "Of a week ago as well", minutes=11)
    clock.at += timedelta(days=1)
    assert read(source).get("conversations", 0) == 0, "once a month, not from then on"
    clock.at += timedelta(minutes=1)
    keeping.read_now(source, from_the_beginning=True)
    assert read(source)["conversations"] == 1


@pytest.mark.parametrize(
    ("written", "late"),
    [
        ("2026-11-01T08:00:00.000Z", "2026-11-01T07:55:00.000Z"),
        (1_793_520_000_000, 1_793_519_700_000),
        (1_793_520_000.5, 1_793_519_700.5),
        ("01JBK9ZC00000000000000000A", "01JBK9ZC00000000000000000B"),
    ],
)
def test_a_time_that_is_text_or_a_number_has_the_same_overlap(
    ada: Subject, sqlite_place: Place, written: Any, late: Any
) -> None:
    chats = Chats(sqlite_place)
    for chat, mark in (("c1", written), ("c2", late)):
        chats.say("ada@example.org", chat, "Hello")
        chats.run("UPDATE chats SET changed_at = :mark WHERE chat = :chat", mark=mark, chat=chat)
        if chat == "c1":
            source = add(sqlite_place, COLUMNS)
            assert read(source)["conversations"] == 1
    assert read(source)["conversations"] == 1


@pytest.mark.parametrize(
    ("mark", "since"),
    [
        (datetime(2026, 11, 5, 11, 0), datetime(2026, 11, 5, 10, 50)),
        (datetime(2099, 1, 1), datetime(2026, 11, 5, 11, 50)),
        (datetime(2099, 1, 1, tzinfo=UTC), datetime(2026, 11, 5, 11, 50, tzinfo=UTC)),
        (datetime(2099, 1, 1).date(), datetime(2026, 11, 4).date()),
        ("2099-01-01 00:00:00", "2026-11-05 11:50:00"),
        ("2026-02-31 00:00:00", "2026-02-31 00:00:00"),
        ("b", "b"),
        (5_000, 4_000),
        (1_793_520_000_000_000, 1_793_519_400_000_000),
    ],
)
def test_from_where_it_is_read_again(mark: Any, since: Any) -> None:
    assert earlier(mark, BEGUN) == since
    assert thaw(freeze(mark)) == mark


@pytest.mark.parametrize(("zone", "hour"), [("", 8), ("Asia/Shanghai", 0), ("America/New_York", 13)])
def test_times_that_name_no_zone_are_of_the_one_that_the_mapping_names(
    ada: Subject, place: Place, zone: str, hour: int
) -> None:
    Chats(place).say("ada@example.org", "c1", "Hello", minutes=0)
    read(add(place, COLUMNS | {"zone": zone}))
    assert Conversation.objects.get().started_at == datetime(2026, 11, 1, hour, 0, tzinfo=UTC)
