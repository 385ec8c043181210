"""Conversations brought in from databases, folders and buckets: once, for the right person, and never against their will."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from sqlalchemy import text as sql

from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of, looks_at
from apps.keys.errors import MasterKeyUnreachable
from apps.keys.models import Key
from apps.keys.providers.file import FileProvider
from apps.locations.models import Location
from apps.locations.services import save_location, switch_location
from apps.locations.sql import engine_of
from apps.records import selectors, services, suppression
from apps.records.models import Conversation, Source, SourceRun, Subject
from apps.records.sources import keeping, running
from apps.records.sources import sql as sql_reading
from apps.records.sources.files import FilesReader, SeenFiles
from tests.locations.stores.conftest import Place
from tests.records.conftest import by

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
START = datetime(2026, 11, 1, 8, 0)
COLUMNS = {
    "table": "chats", "person": "email", "person_kind": "email", "conversation": "chat", "role": "who", "text": "words",
    "time": "said_at", "id": "id", "title": "subject", "watermark": "changed_at",
}  # fmt: skip
DATABASES = (
    "sqlite_place",
    pytest.param("postgres_place", marks=pytest.mark.services),
    pytest.param("mariadb_place", marks=pytest.mark.services),
)


class Chats:
    """A table of messages as a chat product keeps it."""

    def __init__(self, place: Place) -> None:
        self.engine = engine_of(place.config)
        self.number = 0
        moment = "DATETIME" if place.config["dialect"] != "postgresql" else "TIMESTAMP"
        self.run(f"CREATE TABLE chats (id INTEGER PRIMARY KEY, email VARCHAR(200), chat VARCHAR(50), who VARCHAR(20), "
                 f"words TEXT, said_at {moment}, changed_at {moment}, subject VARCHAR(100))")  # fmt: skip

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sql(statement), values)

    def say(
        self, email: str | None, chat: str, words: str | None, *, who: str = "user", minutes: int | None = None
    ) -> None:
        self.number += 1
        at = START + timedelta(minutes=self.number if minutes is None else minutes)
        self.run(
            "INSERT INTO chats VALUES (:id, :email, :chat, :who, :words, :at, :at, :subject)",
            id=self.number, email=email, chat=chat, who=who, words=words, at=at, subject=f"About {chat}",
        )  # fmt: skip


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def _own_storage(storage: Path) -> None:
    """Files of conversations go into a folder of the test's own."""


def add(place: Place, mapping: dict[str, Any], **settings: Any) -> Source:
    location = Location(kind=place.kind, name=f"Chat product {uuid4().hex[:6]}")
    save_location(location, config=place.config, actor=Actor.system())
    return keeping.add_source(name=location.name, location=location, mapping=mapping, actor=Actor.system(), **settings)


def read(source: Source) -> dict[str, int]:
    keeping.read_now(source)
    while running.run_source(source.pk):
        pass
    run = SourceRun.objects.filter(source=source).order_by("-started_at")[0]
    assert run.state == "done", run.reason
    counts: dict[str, int] = run.counts
    return counts


def said(subject: Subject) -> dict[str, list[str]]:
    """Every conversation of a person, as the reader shows it: its messages in their order."""
    found = {}
    for line in selectors.conversations_page(subject).items:
        page = selectors.read_conversation(subject, line.id)
        found[line.title] = ["".join(part.text for part in message.parts) for message in page.turns]
    return found


# Databases


def test_a_table_comes_in_once_and_what_is_new_is_added(ada: Subject, ben: Subject, place: Place) -> None:
    chats = Chats(place)
    chats.say("ada@example.org", "c1", "How much?")
    chats.say("ada@example.org", "c1", "Twelve.", who="bot")
    chats.say("BEN@example.org", "c2", "Hello")
    source = add(place, COLUMNS)
    assert read(source) == {"conversations": 2, "messages": 3}
    assert said(ada) == {"About c1": ["How much?", "Twelve."]}
    assert said(ben) == {"About c2": ["Hello"]}
    assert read(source)["already_held"] == 2
    chats.say("ada@example.org", "c1", "Thanks")
    chats.say("ada@example.org", "c3", "Another")
    counts = read(source)
    assert (counts["conversations"], counts["messages"]) == (2, 2)
    assert said(ada) == {"About c1": ["How much?", "Twelve.", "Thanks"], "About c3": ["Another"]}
    assert Conversation.objects.count() == 3


def test_rows_of_nobody_without_end_are_cut_like_others(
    ada: Subject, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_reading, "CONVERSATIONS_A_BATCH", 1)
    chats = Chats(sqlite_place)
    for number in range(3):
        chats.say(None, f"c{number}", "Whose?")
    source = add(sqlite_place, COLUMNS)
    keeping.read_now(source)
    assert running.run_source(source.pk, seconds=0)  # there is more
    assert read(source)["skipped"] == 3


def test_only_what_changed_is_read_again(ada: Subject, place: Place) -> None:
    chats = Chats(place)
    for day in range(5):
        chats.say("ada@example.org", f"c{day}", "Hello", minutes=day * 1440)
    source = add(place, COLUMNS)
    assert read(source)["conversations"] == 5
    chats.say("ada@example.org", "c0", "Late", minutes=5 * 1440)
    counts = read(source)
    assert (counts["conversations"], counts.get("already_held", 0)) == (1, 1)  # the last one lies in the overlap


def test_a_row_that_was_committed_late_is_not_missed(ada: Subject, sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello", minutes=100)
    source = add(sqlite_place, COLUMNS)
    read(source)
    chats.say("ada@example.org", "c2", "Was slow", minutes=95)
    assert read(source)["conversations"] == 1


@pytest.mark.parametrize("mark", ["", "id"])
def test_without_a_time_of_change_a_number_or_everything_is_read(ada: Subject, sqlite_place: Place, mark: str) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    source = add(sqlite_place, COLUMNS | {"watermark": mark})
    assert read(source) == {"conversations": 1, "messages": 1}
    chats.say("ada@example.org", "c1", "More")
    assert read(source) == {"conversations": 1, "messages": 1}
    assert said(ada) == {"About c1": ["Hello", "More"]}


def test_rows_that_cannot_be_taken_are_named_with_their_reason(ada: Subject, sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    chats.say("ada@example.org", "c1", None)
    chats.say(None, "c1", "Whose?")
    source = add(sqlite_place, COLUMNS)
    assert read(source) == {"conversations": 1, "messages": 1, "skipped": 2}
    troubles = running.report_of(SourceRun.objects.get())["troubles"]
    assert sorted(why for _where, why in troubles) == ["It has no text.", "It names no person."]
    assert any("row 2" in where for where, _why in troubles)


def test_words_of_the_role_are_the_operators(ada: Subject, sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello", who="1")
    chats.say("ada@example.org", "c1", "Yes?", who="2")
    read(add(sqlite_place, COLUMNS | {"person_words": "1", "assistant_words": "2, 3"}))
    row = Conversation.objects.get()
    page = selectors.read_conversation(ada, row.pk)
    assert [message.role for message in page.turns] == ["user", "assistant"]


# People


def test_unknown_people_are_counted_and_named_or_added_if_the_operator_says_so(
    ada: Subject,
    sqlite_place: Place,
) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    chats.say("carl@example.org", "c2", "Hello")
    chats.say("carl@example.org", "c3", "Again")
    source = add(sqlite_place, COLUMNS)
    assert read(source) == {"conversations": 1, "messages": 1, "unknown_people": 1}
    run = SourceRun.objects.get()
    assert running.report_of(run)["unknown"] == ["carl@example.org"]
    assert b"carl" not in bytes(run.sealed_report or b"")
    keeping.change_source(source, actor=Actor.system(), adds_people=True)
    keeping.read_now(source, from_the_beginning=True)
    counts = read(source)
    assert (counts["added_people"], counts["conversations"]) == (1, 2)
    carl = services.find_subject("carl@example.org")
    assert len(said(carl)) == 2
    SourceRun.objects.update(started_at=timezone.now() - timedelta(days=15))
    assert running.forget_old_reports() == 1


def test_a_stranger_is_counted_once_also_when_no_more_are_named(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_UNKNOWN", 1)
    chats = Chats(sqlite_place)
    for number, email in enumerate(["a@example.org", "b@example.org", "c@example.org", "b@example.org"]):
        chats.say(email, f"c{number}", "Hello")
        chats.say(email, f"d{number}", "Hello")
    source = add(sqlite_place, COLUMNS)
    keeping.read_now(source)
    while running.run_source(source.pk, seconds=0):  # in pieces: the next one knows whom the one before has counted
        pass
    run = SourceRun.objects.get()
    assert run.counts["unknown_people"] == 3
    assert running.report_of(run) == {"troubles": [], "unknown": ["a@example.org"]}


def test_whom_somebody_else_adds_at_the_same_moment_is_not_added_twice_or_without_a_name(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = Chats(sqlite_place)
    chats.say("42", "c1", "Hello")
    refuse = suppression.refuse_suppressed

    def meanwhile(values: Any) -> None:
        monkeypatch.undo()
        services.create_subject(known_by=[("user_id", "42")])
        refuse(values)

    monkeypatch.setattr(suppression, "refuse_suppressed", meanwhile)
    counts = read(add(sqlite_place, COLUMNS | {"person_kind": "user_id"}, adds_people=True))
    [subject] = Subject.objects.all()
    assert len(said(subject)) == 1
    assert "added_people" not in counts
    assert Key.objects.filter(kind="subject", destroyed_at=None).count() == 1


def test_two_changes_of_a_source_at_once_keep_both(files_place: Place) -> None:
    source = add(files_place, {"folder": "", "path": "{email}/", "format": "auto"})
    first, second = Source.objects.get(pk=source.pk), Source.objects.get(pk=source.pk)
    keeping.change_source(first, actor=Actor.system(), is_active=False)
    keeping.change_source(second, actor=Actor.system(), adds_people=True)
    source.refresh_from_db()
    assert (source.is_active, source.adds_people) == (False, True)


def test_asking_which_files_were_read_takes_one_question_for_many(ada: Subject, files_place: Place) -> None:
    for number in range(6):
        put(files_place, f"ada@example.org/{number}.txt", "User: Hello\n")
    source = add(files_place, {"folder": "", "path": "{email}/", "format": "auto"})
    assert read(source)["conversations"] == 6
    put(files_place, "ada@example.org/3.txt", "User: Hello\nUser: More\n")
    reader = FilesReader(files_place.kind, files_place.config, source.mapping, seen=SeenFiles(source))
    with CaptureQueriesContext(connection) as queries:
        unread = [found.name for found, _person in reader._unread()]
    asked = [query for query in queries if "records_sourcefile" in query["sql"]]
    assert (unread, len(asked)) == (["ada@example.org/3.txt"], 1)


def test_other_kinds_of_identity_are_added_too(sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("42", "c1", "Hello")
    read(add(sqlite_place, COLUMNS | {"person_kind": "user_id"}, adds_people=True))
    [subject] = Subject.objects.all()
    assert services.identity_of(subject).of_kind("user_id") == ["42"]


@pytest.mark.parametrize("will", ["frozen", "restricted", "consent withdrawn"])
def test_nothing_is_stored_against_what_the_person_decided(
    ada: Subject,
    ben: Subject,
    sqlite_place: Place,
    will: str,
) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    chats.say("ben@example.org", "c1", "Hello")
    if will == "frozen":
        services.freeze_subject(ada.pk)
    elif will == "restricted":
        Subject.objects.filter(pk=ada.pk).update(restricted_at=timezone.now())
    else:
        services.set_recording(ada, False, actor=by(ada))
    assert read(add(sqlite_place, COLUMNS)) == {"withheld": 1, "conversations": 1, "messages": 1}
    assert [row.subject_id for row in Conversation.objects.all()] == [ben.pk]


def test_what_was_deleted_here_does_not_come_back_and_the_rest_does(ada: Subject, sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    chats.say("ada@example.org", "c2", "Hello")
    source = add(sqlite_place, COLUMNS)
    read(source)
    gone = next(line.id for line in selectors.conversations_page(ada).items if line.title == "About c1")
    services.delete_conversations(ada, [gone], actor=by(ada))
    chats.say("ada@example.org", "c1", "More")
    chats.say("ada@example.org", "c2", "More")
    assert read(source)["deleted_here"] == 1
    keeping.read_now(source, from_the_beginning=True)
    read(source)
    assert said(ada) == {"About c2": ["Hello", "More"]}
    services.freeze_subject(ada.pk)
    list(services.erase_subject_rows(ada.pk))
    assert not Subject.objects.filter(pk=ada.pk).exists()


def put(place: Place, name: str, text: str) -> None:
    place.store("").put(name, [text.encode()])


# Trouble


@pytest.mark.thorough
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_killed_at_any_batch_it_goes_on_and_ends_the_same(
    ada: Subject,
    sqlite_place: Place,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    monkeypatch.setattr(sql_reading, "CONVERSATIONS_A_BATCH", 2)
    chats = Chats(sqlite_place)
    for number in range(6):
        chats.say("ada@example.org", f"c{number}", "Hello")
    source = add(sqlite_place, COLUMNS)
    calls = iter(range(100))

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def note(self: Any) -> None:
            if next(calls) == at:
                raise KeyboardInterrupt
            real(self)

        return note

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running._Run, "_note", dying(running._Run._note))
        running.run_source(source.pk)
    counts = read(source)
    assert Conversation.objects.count() == 6
    assert counts.get("already_held", 0) <= 2
    assert sum(len(messages) for messages in said(ada).values()) == 6


def test_long_reading_is_cut_and_goes_on(ada: Subject, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_reading, "CONVERSATIONS_A_BATCH", 1)
    chats = Chats(sqlite_place)
    for number in range(4):
        chats.say("ada@example.org", f"c{number}", "Hello")
    source = add(sqlite_place, COLUMNS)
    rounds = 1
    while running.run_source(source.pk, seconds=0):
        rounds += 1
    assert rounds >= 4
    assert SourceRun.objects.get().counts == {"conversations": 4, "messages": 4}


def test_a_place_that_does_not_answer_is_said_and_tried_again(ada: Subject, files_place: Place) -> None:
    put(files_place, "ada@example.org/one.txt", "User: Hello\n")
    source = add(files_place, {"folder": "", "path": "{email}/"})
    root = Path(files_place.config["root"])
    root.rename(root.with_name("away"))
    assert running.run_source(source.pk) is False
    run = SourceRun.objects.get()
    assert (run.state, run.reason) == ("failed", "unreachable")
    assert running.due_sources() == []
    assert details_of(Entry.objects.get(event=Event.SOURCE_READ))["complete"] is False
    root.with_name("away").rename(root)
    assert read(source)["conversations"] == 1


# Trying before saving


def test_a_preview_shows_messages_stores_nothing_and_is_a_look(ada: Subject, ben: Subject, place: Place) -> None:
    chats = Chats(place)
    chats.say("ada@example.org", "c1", "How much?")
    chats.say("ada@example.org", "c1", None)
    location = Location(kind=place.kind, name="Chat product")
    save_location(location, config=place.config, actor=Actor.system())
    lines, problems = keeping.preview(location, COLUMNS, actor=Actor.system())
    assert [(line.person, line.conversation, line.role, line.text) for line in lines] == [
        ("ada@example.org", "c1", "user", "How much?")
    ]
    assert len(problems) == 1
    assert not Conversation.objects.exists()
    assert details_of(Entry.objects.get(event=Event.SOURCE_PREVIEWED))["rows"] == 1
    [look] = looks_at(ada.handle)  # she sees it among the looks
    assert (look.event, look.purpose) == (Event.CONTENT_LOOKED_AT, "support")
    assert looks_at(ben.handle) == []
    _lines, problems = keeping.preview(location, COLUMNS | {"text": "body"}, actor=Actor.system())
    assert "There is no column body" in problems[0]
    assert "words" in problems[0]
    _lines, problems = keeping.preview(location, COLUMNS | {"table": "nothing"}, actor=Actor.system())
    assert "chats" in problems[0]


def test_what_another_worker_took_over_is_left_to_it(
    ada: Subject, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "hello")
    source = add(sqlite_place, COLUMNS)
    real = running._Run._take

    def taken_over(self: Any, batch: Any) -> None:
        keeping.read_now(source, from_the_beginning=True)
        real(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(running._Run, "_take", taken_over)
        assert running.run_source(source.pk) is False
    source.refresh_from_db()
    assert (source.cursor, source.token) == ({}, None)
    assert list(SourceRun.objects.values_list("state", flat=True)) == ["running"]
    assert not Entry.objects.filter(event=Event.SOURCE_READ).exists()
    assert read(source)["messages"] == 1


def test_a_source_waits_while_master_keys_are_out_of_reach(
    ada: Subject, sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    Chats(sqlite_place).say("ada@example.org", "c1", "How much?")
    source = add(sqlite_place, COLUMNS)
    keeping.read_now(source)

    def away(*_arguments: Any) -> None:
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileProvider, "unwrap", away)
        assert running.run_source(source.pk) is False
    source.refresh_from_db()
    assert source.lease_until is not None and source.lease_until > timezone.now() + timedelta(minutes=9)
    Source.objects.update(lease_until=None)
    assert read(source) == {"conversations": 1, "messages": 1}


def test_a_column_that_is_gone_ends_the_run_and_is_named(ada: Subject, sqlite_place: Place) -> None:
    chats = Chats(sqlite_place)
    chats.say("ada@example.org", "c1", "Hello")
    source = add(sqlite_place, COLUMNS)
    assert read(source)["messages"] == 1
    chats.run("ALTER TABLE chats RENAME COLUMN words TO content")
    keeping.read_now(source)
    assert running.run_source(source.pk) is False
    runs = list(SourceRun.objects.order_by("-started_at"))
    assert [(run.state, run.reason) for run in runs] == [("failed", "refused"), ("done", "")]
    assert keeping.why_it_failed(runs) == "A column that the source reads is not there any more: words."
    assert keeping.why_it_failed(runs[1:]) == ""
    assert running.due_sources() == []
    chats.run("ALTER TABLE chats RENAME COLUMN content TO words")
    chats.say("ada@example.org", "c1", "More")
    assert read(source)["messages"] == 1
    assert keeping.why_it_failed(list(SourceRun.objects.order_by("-started_at"))) == ""


def test_nothing_is_read_from_a_place_that_is_switched_off_until_it_is_on_again(
    ada: Subject, sqlite_place: Place
) -> None:
    Chats(sqlite_place).say("ada@example.org", "c1", "Hello")
    source = add(sqlite_place, COLUMNS)
    switch_location(source.location, enabled=False, actor=Actor.system())
    keeping.read_now(source)
    assert (running.due_sources(), running.run_source(source.pk)) == ([], False)
    assert (Conversation.objects.count(), SourceRun.objects.count()) == (0, 0)
    switch_location(source.location, enabled=True, actor=Actor.system())
    assert running.due_sources() == [source.pk]
    assert read(source)["messages"] == 1
