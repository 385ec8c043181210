"""When a source is due: an hour or a day after it was read, soon after a failure; and the schedule reads what is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from apps.audit.actors import Actor
from apps.locations.errors import Unavailable
from apps.records import tasks
from apps.records.models import Conversation, Source, SourceRun, Subject
from apps.records.sources import keeping, running
from tests.clock import Clock
from tests.locations.stores.conftest import Place
from tests.records.sources.test_sources import add, put

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
MAPPING = {"folder": "chats", "path": "{email}/", "format": "auto"}
PERIODS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1)}
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, storage: Path) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """What the schedule starts each minute, its messages carried out at once; returns how many sources were woken."""
    monkeypatch.setattr(tasks, "poke_source", lambda source_id: tasks.read_source(str(source_id)))
    return current_app.tasks[settings.CELERY_BEAT_SCHEDULE["sources"]["task"]]


def next_run(source: Source) -> datetime | None:
    source.refresh_from_db()
    return source.next_run_at


def say(place: Place, number: int) -> None:
    put(place, f"chats/ada@example.org/{number}.txt", f"User: Hello {number}\n")


@pytest.mark.parametrize("every", PERIODS)
def test_after_a_success_a_source_is_read_again_in_an_hour_or_a_day_and_not_a_second_before(
    ada: Subject, files_place: Place, clock: Clock, beat: Any, every: str
) -> None:
    say(files_place, 1)
    source, begun = add(files_place, MAPPING, every=every), clock.at
    assert (beat(), Conversation.objects.count()) == (1, 1)
    assert next_run(source) == begun + PERIODS[every]
    say(files_place, 2)
    clock.at = begun + PERIODS[every] - SECOND
    assert (beat(), Conversation.objects.count()) == (0, 1)
    clock.at += SECOND
    assert (beat(), Conversation.objects.count()) == (1, 2)
    assert next_run(source) == begun + 2 * PERIODS[every]


def test_after_a_failure_it_is_read_again_in_ten_minutes_and_then_as_ever(
    ada: Subject, files_place: Place, clock: Clock, beat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(files_place, 1)
    source = add(files_place, MAPPING)
    with monkeypatch.context() as patched:
        patched.setattr(running, "reader_for", away)
        beat()
    assert next_run(source) == clock.at + running.AGAIN
    assert [run.state for run in SourceRun.objects.all()] == ["failed"]
    clock.at += running.AGAIN - SECOND
    assert (beat(), Conversation.objects.count()) == (0, 0)
    clock.at += SECOND
    assert (beat(), Conversation.objects.count()) == (1, 1)
    assert next_run(source) == clock.at + PERIODS[source.every]


def away(*arguments: Any, **options: Any) -> Any:
    raise Unavailable("it does not answer")


def test_only_the_source_that_is_due_is_read_and_none_that_was_stopped(
    ada: Subject, files_place: Place, clock: Clock, beat: Any
) -> None:
    say(files_place, 1)
    due, later, stopped = (add(files_place, MAPPING) for _number in range(3))
    Source.objects.filter(pk=later.pk).update(next_run_at=clock.at + SECOND)
    keeping.change_source(stopped, actor=Actor.system(), is_active=False)
    assert beat() == 1
    assert [run.source_id for run in SourceRun.objects.all()] == [due.pk]


def test_who_wants_it_read_every_hour_does_not_wait_for_the_day_to_end(
    ada: Subject, files_place: Place, clock: Clock, beat: Any
) -> None:
    source = add(files_place, MAPPING, every="daily")
    beat()
    assert next_run(source) == clock.at + PERIODS["daily"]
    keeping.change_source(source, actor=Actor.system(), every="hourly")
    assert next_run(source) == clock.at + PERIODS["hourly"]
    keeping.change_source(source, actor=Actor.system(), every="daily")
    assert next_run(source) == clock.at + PERIODS["hourly"], "what is due sooner stays so"
