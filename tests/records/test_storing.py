"""Storing conversations, and reading them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys.models import Key
from apps.records import contexts, opening, rows, selectors
from apps.records.errors import ConversationNotFound, RecordingNotAllowed, SubjectFrozen
from apps.records.importers.errors import UnreadableFile
from apps.records.importers.types import ParsedAttachment, ParsedConversation, Skipped
from apps.records.models import Attachment, Conversation, Message, Subject
from apps.records.reports import ImportReport
from apps.records.services import set_recording, store_conversations
from apps.records.subjects import freeze_subject
from apps.sealing.errors import DecryptionError
from tests.records.conftest import START, attachment, by, conversation, node

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def store(subject: Subject, *parsed: ParsedConversation | Skipped, **options: Any) -> ImportReport:
    return store_conversations(subject, parsed, actor=by(subject), source="chatgpt", **options)


def only(subject: Subject) -> UUID:
    [line] = selectors.conversations_page(subject).items
    return UUID(str(line.id))


def texts_of(subject: Subject, conversation_id: UUID, **options: Any) -> list[str]:
    reading = selectors.read_conversation(subject, conversation_id, **options)
    return [part.text for turn in reading.turns for part in turn.parts]


def test_what_was_stored_is_read_back_by_its_person_alone(ada: Subject, ben: Subject) -> None:
    report = store(ada, conversation("c1", "May he?", "It depends.", title="Deposit"))
    assert report.as_dict() == {
        "format": "chatgpt", "conversations": 1, "messages": 2, "attachments": 0, "already_held": 0, "skipped": [],
    }  # fmt: skip
    [line] = selectors.conversations_page(ada).items
    assert (line.title, line.message_count, line.file_count) == ("Deposit", 2, 0)
    assert texts_of(ada, line.id) == ["May he?", "It depends."]
    assert selectors.conversations_page(ben).items == []
    with pytest.raises(ConversationNotFound):
        selectors.read_conversation(ben, line.id)


def test_storing_twice_adds_nothing_twice(ada: Subject) -> None:
    parsed = [conversation("c1", "a", "b"), conversation("c2", "c")]
    assert store(ada, *parsed).conversations == 2
    before = list(Message.objects.order_by("pk").values_list("sealed", flat=True))
    again = store(ada, *parsed)
    assert (again.conversations, again.messages, again.already_held) == (0, 0, 2)
    assert list(Message.objects.order_by("pk").values_list("sealed", flat=True)) == before
    assert Key.objects.filter(kind="conversation").count() == 2


def test_a_conversation_that_came_again_with_more_messages_adds_only_those(ada: Subject) -> None:
    store(ada, conversation("c1", "a", "b"))
    again = store(ada, conversation("c1", "a", "b", "c", "d"))
    assert (again.conversations, again.messages, again.already_held) == (1, 2, 0)
    assert texts_of(ada, only(ada)) == ["a", "b", "c", "d"]
    [line] = selectors.conversations_page(ada).items
    assert line.message_count == Message.objects.filter(is_message=True).count() == 4
    older = store(ada, conversation("c1", "a", "b"))
    assert (older.messages, older.already_held) == (0, 1)
    assert texts_of(ada, only(ada)) == ["a", "b", "c", "d"]


def test_a_new_branch_is_joined_to_the_message_it_splits_from(ada: Subject) -> None:
    first = [node("q", None, "user", "question"), node("a1", "q", "assistant", "first answer")]
    store(ada, conversation("c1", nodes=first))
    later = START + timedelta(hours=1)
    more = [*first, node("a2", "q", "assistant", "second answer", at=later)]
    assert store(ada, conversation("c1", nodes=more, current="a2")).messages == 1
    row = Conversation.objects.get()
    box = opening.Box(opening.living_keys([row])[row.key_id])
    nodes = opening.open_nodes(row, box, [0, 1, 2])
    assert nodes[0].data["children"] == ["a1", "a2"]
    reading = selectors.read_conversation(ada, row.pk)
    assert [part.text for turn in reading.turns for part in turn.parts] == ["question", "second answer"]
    assert (reading.turns[1].version, reading.turns[1].versions, reading.turns[1].previous) == (2, 2, 1)
    assert texts_of(ada, row.pk, branch=reading.turns[1].previous) == ["question", "first answer"]
    assert [(one.leaf, one.length, one.splits_after) for one in reading.branches] == [(1, 2, 1)]


def test_a_newer_version_of_a_message_replaces_the_older_and_not_the_other_way_round(ada: Subject) -> None:
    old = [node("q", None, "user", "question"), node("a", "q", "assistant", "half an ans")]
    new = [node("q", None, "user", "question"), node("a", "q", "assistant", "half an answer", at=START + timedelta(1))]
    store(ada, conversation("c1", nodes=old))
    store(ada, conversation("c1", nodes=new))
    assert texts_of(ada, only(ada)) == ["question", "half an answer"]
    store(ada, conversation("c1", nodes=old))
    assert texts_of(ada, only(ada)) == ["question", "half an answer"]


def test_one_conversation_in_two_shards_is_one(ada: Subject) -> None:
    report = store(ada, conversation("c1", "a"), conversation("c2", "x"), conversation("c1", "a", "b"))
    assert (report.messages, Conversation.objects.count()) == (3, 2)


def test_the_same_id_of_two_people_is_two_conversations(ada: Subject, ben: Subject) -> None:
    store(ada, conversation("c1", "hers"))
    assert store(ben, conversation("c1", "his")).conversations == 1
    assert texts_of(ada, only(ada)) == ["hers"] and texts_of(ben, only(ben)) == ["his"]


def test_a_long_conversation_goes_in_several_transactions(ada: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "rows_per_transaction", lambda: 10)
    commits: list[Any] = []
    report = store(ada, conversation("c1", *map(str, range(35))), on_commit=commits.append)
    assert (report.conversations, report.messages) == (1, 35)
    assert [one.messages for one in commits] == [9, 10, 10, 6]
    assert [(one.conversations, one.items) for one in commits] == [(0, 0), (0, 0), (0, 0), (1, 1)]
    assert texts_of(ada, only(ada), limit=100) == [str(number) for number in range(35)]


def test_what_is_skipped_is_named_and_the_rest_is_stored(ada: Subject) -> None:
    deep: Any = "end"
    for _ in range(500):
        deep = [deep]
    bad = conversation("bad", "x")
    bad.nodes[1].data["message"]["metadata"] = deep
    report = store(
        ada, conversation("c1", "a"), Skipped("conversation 2", "It is broken."), bad, conversation("c4", "b")
    )
    assert (report.conversations, report.skipped_count) == (2, 2)
    assert report.skipped[0] == {"what": "conversation 2", "why": "It is broken."}
    assert report.skipped[1]["what"] == "conversation 3"


@pytest.mark.parametrize("text", ["\ud800 lone", "nul \0 there", "é́ 房东 🏠", "x" * 300_000, ""])
def test_any_text_comes_back_as_it_went(ada: Subject, text: str) -> None:
    store(ada, conversation("c1", text))
    row = Conversation.objects.get()
    box = opening.Box(opening.living_keys([row])[row.key_id])
    assert opening.open_nodes(row, box, [1])[1].data["message"]["content"]["parts"] == [text]


def test_a_frozen_person_gets_nothing_more(ada: Subject, ben: Subject) -> None:
    freeze_subject(ada.pk)
    with pytest.raises(SubjectFrozen):
        store(ada, conversation("c1", "a"))
    assert store(ben, conversation("c1", "a")).messages == 1
    assert Conversation.objects.filter(subject=ada).count() == 0


def test_without_consent_nothing_new_is_kept(ada: Subject) -> None:
    store(ada, conversation("c1", "a"))
    set_recording(ada, False, actor=by(ada))
    with pytest.raises(RecordingNotAllowed):
        store(ada, conversation("c2", "b"))
    set_recording(ada, True, actor=by(ada))
    assert store(ada, conversation("c2", "b")).messages == 1


def test_two_sealed_messages_cannot_be_swapped(ada: Subject, ben: Subject) -> None:
    store(ada, conversation("c1", "one", "two"))
    store(ben, conversation("c1", "his"))
    row = Conversation.objects.get(subject=ada)
    assert texts_of(ada, row.pk) == ["one", "two"]
    first, second = Message.objects.filter(conversation=row, is_message=True).order_by("position")
    bens = Message.objects.get(conversation__subject=ben, position=1)
    for other in (second.sealed, bens.sealed, row.sealed):
        Message.objects.filter(conversation=row, position=1).update(sealed=other)
        with pytest.raises(DecryptionError):
            selectors.read_conversation(ada, row.pk)
    Message.objects.filter(conversation=row, position=1).update(sealed=first.sealed)
    assert texts_of(ada, row.pk) == ["one", "two"]


def test_no_two_places_have_the_same_context() -> None:
    one, two = UUID(int=1), UUID(int=2)
    named = [
        contexts.identity(one, two), contexts.conversation(one, two), contexts.messages(one, two),
        contexts.message(contexts.messages(one, two), 0), contexts.message(contexts.messages(one, two), 1),
        contexts.attachment(one, two), contexts.attachment_file(one, two), contexts.import_name(one, two),
        contexts.import_report(one, two), contexts.import_file(one, two), contexts.conversation(two, one),
    ]  # fmt: skip
    assert len(set(named)) == len(named)


def test_each_batch_leaves_an_entry_with_counts_alone(ada: Subject) -> None:
    store(ada, conversation("c1", "a", "b"), conversation("c2", "c"))
    [entry] = Entry.objects.filter(event=Event.CONVERSATIONS_IMPORTED, about=ada.handle)
    assert details_of(entry) == {"format": "chatgpt", "conversations": 2, "messages": 3}


def test_a_file_that_cannot_be_read_is_named_and_leaves_nothing(ada: Subject, storage: Path) -> None:
    def damaged() -> Iterator[bytes]:
        yield b"first"
        raise UnreadableFile("It is damaged.")

    bad = ParsedAttachment("bad.pdf", "application/pdf", "file-service://bad", damaged, 10)
    report = store(ada, conversation("c1", "text", attachments=[bad, attachment("good.pdf", b"good")]))
    assert (report.conversations, report.attachments) == (1, 1)
    assert report.skipped == [{"what": "bad.pdf", "why": "It is damaged."}]
    assert len([path for path in storage.rglob("*") if path.is_file()]) == Attachment.objects.count() == 1


def test_files_are_sealed_into_storage_and_read_back(ada: Subject, ben: Subject, storage: Path) -> None:
    secret = b"canary-lease " * 50_000
    with_file = conversation("c1", "see the lease", attachments=[attachment("lease.pdf", secret)])
    report = store(ada, with_file)
    assert report.attachments == 1
    row = Attachment.objects.get()
    assert (row.stored, row.size) == (True, len(secret))
    [path] = [path for path in storage.rglob("*") if path.is_file()]
    assert b"canary" not in path.read_bytes() and "lease" not in str(path.relative_to(storage))
    opened = selectors.open_attachment(ada, row.pk)
    assert (opened.info.name, b"".join(opened.chunks)) == ("lease.pdf", secret)
    with pytest.raises(selectors.reading.AttachmentNotFound):
        selectors.open_attachment(ben, row.pk)
    again = store(ada, with_file)
    assert (again.attachments, again.already_held) == (0, 1)
    later = replace(with_file, attachments=[*with_file.attachments, attachment("wall.jpg", b"wall")])
    assert store(ada, later).attachments == 1
    counted = [details_of(entry) for entry in Entry.objects.filter(event=Event.CONVERSATIONS_IMPORTED).order_by("id")]
    assert [details["attachments"] for details in counted if "attachments" in details] == [1, 1]
    assert [one.name for one in selectors.read_conversation(ada, only(ada)).files] == ["lease.pdf", "wall.jpg"]
