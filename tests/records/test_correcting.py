"""Removing or correcting a part of a conversation: what stays is under a new key, and the old one opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.utils import timezone

from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.models import Key
from apps.locations.contract import Scope
from apps.records import objects, selectors, services
from apps.records.connector import RecordsConnector
from apps.records.errors import (
    AttachmentNotFound,
    ConversationNotFound,
    ConversationsHeld,
    MessageNotFound,
    NotCorrectable,
    SubjectFrozen,
    SubjectRestricted,
)
from apps.records.importers.types import Node, ParsedConversation
from apps.records.models import Attachment, Conversation, Message, Rewrite, Subject
from apps.records.services import rewriting
from tests.records.conftest import attachment, by, conversation, node

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

SECRET = "my pin is 4711 and nobody may know"


def give(subject: Subject, parsed: ParsedConversation) -> Conversation:
    services.store_conversations(subject, [parsed], actor=by(subject))
    return Conversation.objects.filter(subject=subject, erasing_at__isnull=True).order_by("-imported_at")[0]


def said(subject: Subject, conversation_id: Any) -> list[str]:
    """Return what is read, a message a line; "[removed]" where a marker stands."""
    turns = selectors.read_conversation(subject, conversation_id).turns
    return ["".join(f"[{part.kind}]" if part.kind == "removed" else part.text for part in turn.parts) for turn in turns]


def position_of(subject: Subject, conversation_id: Any, words: str) -> int:
    turns = selectors.read_conversation(subject, conversation_id).turns
    return next(turn.position for turn in turns if words in "".join(part.text for part in turn.parts))


def exported(subject: Subject) -> str:
    """Everything that an access request would hand out, as text."""
    who = services.identity_of(subject)
    entries = RecordsConnector({}).export(who, Scope(formats=("json", "txt")), "")
    return "".join(b"".join(entry.chunks).decode() for entry in entries)


def test_a_removed_message_leaves_a_marker_and_is_nowhere_any_more(ada: Subject, ben: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", "hello", "hi", SECRET, "noted"))
    other = give(ben, conversation("c", SECRET))
    position = position_of(ada, held.pk, SECRET)
    assert SECRET in exported(ada)
    new_id = services.remove_message(ada, held.pk, position, actor=by(ada))
    assert said(ada, new_id) == ["hello", "hi", "[removed]", "noted"]
    assert SECRET not in exported(ada) and "noted" in exported(ada)
    assert selectors.search(ada, SECRET).hits == [] and len(selectors.search(ben, SECRET).hits) == 1
    with pytest.raises(KeyDestroyed):
        keys.open_key(held.key_id)
    assert not Conversation.objects.filter(pk=held.pk).exists() and not Rewrite.objects.exists()
    with pytest.raises(ConversationNotFound):
        selectors.read_conversation(ada, held.pk)
    assert said(ben, other.pk) == [SECRET]


def test_the_log_names_what_was_removed_and_holds_no_word_of_it(ada: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", "hello", "hi", SECRET))
    position = position_of(ada, held.pk, SECRET)
    services.remove_message(ada, held.pk, position, actor=by(ada))
    intent = Entry.objects.get(event=Event.KEYS_INTENDED, about=ada.handle)
    details = details_of(intent)
    assert details["replaced"] == [str(held.key_id)] and details["removed"] == [position]
    assert details["reason"] == "replaced" and "erased" not in details
    [entry] = Entry.objects.filter(event=Event.MESSAGES_REMOVED, about=ada.handle)
    assert details_of(entry) == {"conversations": 1, "messages": 1, "attachments": 0}
    assert Entry.objects.filter(event=Event.KEYS_DESTROYED, about=ada.handle).count() == 1
    assert all(b"4711" not in bytes(entry.data) for entry in Entry.objects.all())
    assert Key.objects.get(pk=ada.key_id).child_destroyed_at is not None  # so that the next roll replaces it


def test_a_correction_keeps_the_place_and_loses_the_words(ada: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", SECRET, "noted"))
    position = position_of(ada, held.pk, SECRET)
    new_id = services.correct_message(ada, held.pk, position, "my pin is my own", actor=by(ada))
    assert said(ada, new_id) == ["my pin is my own", "noted"]
    turn = selectors.read_conversation(ada, new_id).turns[0]
    assert turn.corrected_at is not None and turn.is_correctable and turn.created_at is not None
    assert SECRET not in exported(ada) and "my pin is my own" in exported(ada)
    with pytest.raises(KeyDestroyed):
        keys.open_key(held.key_id)
    assert Entry.objects.filter(event=Event.MESSAGE_CORRECTED, about=ada.handle).count() == 1


def test_only_the_persons_own_words_can_be_corrected(ada: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", "hello", "the answer"))
    answer = position_of(ada, held.pk, "the answer")
    with pytest.raises(NotCorrectable):
        services.correct_message(ada, held.pk, answer, "another answer", actor=by(ada))
    assert said(ada, held.pk) == ["hello", "the answer"] and keys.open_key(held.key_id)
    new_id = services.remove_message(ada, held.pk, answer, actor=by(ada))  # removed it can be
    assert said(ada, new_id) == ["hello", "[removed]"]
    for work in (
        lambda: services.remove_message(ada, new_id, answer, actor=by(ada)),
        lambda: services.remove_message(ada, new_id, 999, actor=by(ada)),
        lambda: services.remove_message(ada, new_id, 0, actor=by(ada)),  # the root, that holds the tree together
    ):
        with pytest.raises(MessageNotFound):
            work()


def test_the_tree_keeps_its_branches(ada: Subject, storage: Path) -> None:
    root = Node("r", None, "", None, {"id": "r", "message": None, "parent": None})
    nodes = [
        root,
        node("a", "r", "user", SECRET),
        node("b", "a", "assistant", "First"),
        node("c", "a", "assistant", "Second"),
    ]
    held = give(ada, conversation("c", nodes=nodes, current="c"))
    new_id = services.remove_message(ada, held.pk, 1, actor=by(ada))
    assert said(ada, new_id) == ["[removed]", "Second"]
    [branch] = selectors.read_conversation(ada, new_id).branches
    first = selectors.read_conversation(ada, new_id, branch=branch.leaf).turns
    assert [turn.parts[0].text for turn in first] == ["", "First"]


def test_files_of_the_message_go_and_those_of_others_stay(ada: Subject, storage: Path) -> None:
    parsed = conversation(
        "c", "see the two files", "I see", "and again",
        attachments=[attachment("only.txt", b"only", "file-service://file-only11"),
                     attachment("both.txt", b"both", "sediment://file_both22")],
    )  # fmt: skip
    uploads = [{"id": "file-only11", "name": "only.txt"}, {"id": "file_both22", "name": "both.txt"}]
    parsed.nodes[1].data["message"]["metadata"] = {"attachments": uploads}
    parsed.nodes[3].data["message"]["metadata"] = {"attachments": uploads[1:]}
    held = give(ada, parsed)
    before = {row.pk: row.object_name for row in Attachment.objects.filter(conversation=held)}
    assert len(before) == 2
    new_id = services.remove_message(ada, held.pk, 1, actor=by(ada))
    [file] = selectors.read_conversation(ada, new_id).files
    assert file.name == "both.txt"
    assert b"".join(selectors.open_attachment(ada, file.id).chunks) == b"both"
    assert len(objects.names_of(objects.ATTACHMENTS, ada.pk)) == 1
    assert not set(before.values()) & set(objects.names_of(objects.ATTACHMENTS, ada.pk))
    intent = Entry.objects.get(event=Event.KEYS_INTENDED, about=ada.handle)
    [position, file_id] = details_of(intent)["removed"]
    assert position == 1 and file_id in {str(pk) for pk in before}


def test_a_file_can_be_removed_by_itself(ada: Subject, ben: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", "text", attachments=[attachment("a.txt", b"aaa"), attachment("b.txt", b"bbb")]))
    by_name = {info.name: info for info in selectors.read_conversation(ada, held.pk).files}
    with pytest.raises(AttachmentNotFound):
        services.remove_attachment(ben, by_name["a.txt"].id, actor=by(ben))
    new_id = services.remove_attachment(ada, by_name["a.txt"].id, actor=by(ada))
    assert [info.name for info in selectors.read_conversation(ada, new_id).files] == ["b.txt"]
    assert said(ada, new_id) == ["text"]
    assert len(objects.names_of(objects.ATTACHMENTS, ada.pk)) == 1


def test_a_title_that_repeats_the_message_goes_with_it_and_another_stays(ada: Subject, storage: Path) -> None:
    repeats = give(ada, conversation("c1", SECRET, title="My pin is 4711 and…"))
    other = give(ada, conversation("c2", SECRET, title="Bank"))
    for held, title in ((repeats, ""), (other, "Bank")):
        new_id = services.remove_message(ada, held.pk, 1, actor=by(ada))
        assert selectors.read_conversation(ada, new_id).summary.title == title
    services.store_conversations(ada, [conversation("c1", SECRET, title="My pin is 4711 and…")], actor=by(ada))
    assert "4711" not in exported(ada)  # neither does the same file bring it back


def test_the_same_file_again_brings_nothing_back_and_adds_what_is_new(ada: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", SECRET, "noted", "typo", "ok"))
    new_id = services.remove_message(ada, held.pk, 1, actor=by(ada))
    new_id = services.correct_message(ada, new_id, 3, "no typo", actor=by(ada))
    again = conversation("c", SECRET, "noted", "typo", "ok", "more")
    report = services.store_conversations(ada, [again], actor=by(ada))
    assert report.messages == 1
    assert said(ada, new_id) == ["[removed]", "noted", "no typo", "ok", "more"]
    assert Conversation.objects.filter(subject=ada).count() == 1


def test_what_may_not_be_changed_is_refused_and_stays(ada: Subject, ben: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", SECRET))
    remove: Callable[[], Any] = lambda: services.remove_message(ada, held.pk, 1, actor=by(ada))  # noqa: E731
    with pytest.raises(ConversationNotFound):
        services.remove_message(ben, held.pk, 1, actor=by(ben))
    hold = services.place_hold(ada, basis="order", until=timezone.now().date(), actor=by(ada), conversation_id=held.pk)
    with pytest.raises(ConversationsHeld):
        remove()
    services.lift_hold(hold, actor=by(ada))
    Subject.objects.filter(pk=ada.pk).update(restricted_at=timezone.now())
    with pytest.raises(SubjectRestricted):
        remove()
    Subject.objects.filter(pk=ada.pk).update(restricted_at=None)
    services.freeze_subject(ada.pk)
    with pytest.raises(SubjectFrozen):
        remove()
    services.thaw_subject(ada.pk)
    assert said(ada, held.pk) == [SECRET]
    assert Conversation.objects.count() == 1 and not Rewrite.objects.exists()
    assert Key.objects.filter(kind="conversation").count() == 1  # no key is left of the attempts
    assert not Entry.objects.filter(event=Event.MESSAGES_REMOVED).exists()
    remove()


STEPS = ["_copy_messages", "_copy_files", "_take_place", "_destroy_old"]
INNER = ["keys.carry_out", "purge_conversations", "rows.insert_messages", "copy_file", "finish_deletions"]


@pytest.mark.parametrize("step", [*STEPS, *INNER[:4]])
def test_what_broke_off_is_finished_by_the_next_run(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    held = give(ada, conversation("c", SECRET, "noted", attachments=[attachment("a.txt", b"aaa")]))

    def killed(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"apps.records.services.rewriting.{step}", killed)
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    [line] = selectors.conversations_page(ada).items  # the old or the new one, never both
    is_in_place = step in ("_destroy_old", "keys.carry_out", "purge_conversations")  # killed after the new one came
    assert line.file_count == 1 and line.message_count == (1 if is_in_place else 2)
    assert services.resume_rewrites() == 0  # that run may still be at work
    assert services.finish_deletions() == 0  # the copy is not taken for a conversation on its way out
    Rewrite.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert services.resume_rewrites() == 1
    [line] = selectors.conversations_page(ada).items
    assert said(ada, line.id) == ["[removed]", "noted"]
    assert (Conversation.objects.count(), Rewrite.objects.count(), Attachment.objects.count()) == (1, 0, 1)
    assert len(objects.names_of(objects.ATTACHMENTS, ada.pk)) == 1
    with pytest.raises(KeyDestroyed):
        keys.open_key(held.key_id)
    assert services.finish_rewrites() == 0


def test_a_file_whose_copy_broke_off_is_copied_again(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = give(ada, conversation("c", SECRET, attachments=[attachment("a.txt", b"aaa")]))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def killed(*_arguments: Any, **_options: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr("apps.records.services.rewriting_files._pass_on", killed)
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    assert Attachment.objects.filter(stored=False).count() == 1
    assert services.finish_rewrites() == 1
    [file] = selectors.read_conversation(ada, selectors.conversations_page(ada).items[0].id).files
    assert b"".join(selectors.open_attachment(ada, file.id).chunks) == b"aaa"
    assert len(objects.names_of(objects.ATTACHMENTS, ada.pk)) == 1


def test_without_a_signature_the_old_key_stays_until_there_is_one(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = give(ada, conversation("c", SECRET))

    def unsigned(*_arguments: Any, **_options: Any) -> None:
        raise NotSigned

    with monkeypatch.context() as patch, pytest.raises(NotSigned):
        patch.setattr("apps.keys.services.destroying.wait_until_signed", unsigned)
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    assert keys.open_key(held.key_id)
    assert said(ada, selectors.conversations_page(ada).items[0].id) == ["[removed]"]  # nobody sees it any more
    services.finish_rewrites()
    with pytest.raises(KeyDestroyed):
        keys.open_key(held.key_id)
    assert Entry.objects.filter(event=Event.KEYS_INTENDED, about=ada.handle).count() == 1


def interrupt(monkeypatch: pytest.MonkeyPatch, before: str, work: Callable[[], Any]) -> None:
    """Do something else between two parts of a rewrite, the first time that it comes there."""
    original = getattr(rewriting, before)
    done: list[bool] = []

    def with_work(*arguments: Any, **options: Any) -> Any:
        if not done:
            done.append(True)
            work()
        return original(*arguments, **options)

    monkeypatch.setattr(rewriting, before, with_work)


def test_an_import_that_comes_between_is_not_lost(ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = give(ada, conversation("c", SECRET, "noted"))
    more = conversation("c", SECRET, "noted", "more", attachments=[attachment("late.txt", b"late")])
    interrupt(monkeypatch, "_take_place", lambda: services.store_conversations(ada, [more], actor=by(ada)))
    new_id = services.remove_message(ada, held.pk, 1, actor=by(ada))
    assert said(ada, new_id) == ["[removed]", "noted", "more"]
    assert [info.name for info in selectors.read_conversation(ada, new_id).files] == ["late.txt"]
    assert (Conversation.objects.count(), Rewrite.objects.count(), Attachment.objects.count()) == (1, 0, 1)
    assert len(Key.objects.filter(kind="conversation")) == 1
    assert Entry.objects.filter(event=Event.MESSAGES_REMOVED).count() == 1


@pytest.mark.parametrize("before", ["_copy_files", "_take_place"])
def test_a_conversation_that_is_erased_meanwhile_is_gone_with_its_copy(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    held = give(ada, conversation("c", SECRET, attachments=[attachment("a.txt", b"aaa")]))
    interrupt(monkeypatch, before, lambda: services.delete_conversations(ada, [held.pk], actor=by(ada)))
    with pytest.raises(ConversationNotFound):
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    services.finish_rewrites()
    assert not Conversation.objects.exists() and not Message.objects.exists() and not Attachment.objects.exists()
    assert objects.names_of(objects.ATTACHMENTS, ada.pk) == []
    assert not Key.objects.filter(kind="conversation").exists()


def test_a_hold_that_comes_between_keeps_the_conversation_as_it_was(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = give(ada, conversation("c", SECRET))
    until = timezone.now().date() + timedelta(days=3)
    hold = lambda: services.place_hold(ada, basis="order", until=until, actor=by(ada), conversation_id=held.pk)  # noqa: E731
    interrupt(monkeypatch, "_take_place", hold)
    with pytest.raises(ConversationsHeld):
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    assert said(ada, held.pk) == [SECRET]
    assert (Conversation.objects.count(), Rewrite.objects.count()) == (1, 0)
    assert Key.objects.filter(kind="conversation").count() == 1


def test_an_erasure_of_the_person_takes_the_copy_too(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = give(ada, conversation("c", SECRET, attachments=[attachment("a.txt", b"aaa")]))
    interrupt(monkeypatch, "_take_place", lambda: services.freeze_subject(ada.pk))
    with pytest.raises(SubjectFrozen):
        services.remove_message(ada, held.pk, 1, actor=by(ada))
    keys.erase_keys(services.subject_keys(ada), about=ada.handle, actor=by(ada))
    for _batch in services.erase_subject_rows(ada.pk):
        pass
    left = services.look_for_rest(ada.pk)
    assert (left.rows, left.objects, left.keys) == (0, 0, 0)
    assert not Conversation.objects.exists() and not Message.objects.exists() and not Rewrite.objects.exists()


@pytest.mark.thorough
def test_an_export_under_way_gets_the_conversation_once_whole(ada: Subject, storage: Path) -> None:
    held = give(ada, conversation("c", "first", *["text"] * 1200, SECRET))
    give(ada, conversation("d", "the other one", at=held.updated_at + timedelta(days=1)))
    who, scope = services.identity_of(ada), Scope(formats=("txt",))
    entries = RecordsConnector({}).export(who, scope, "")
    cursor = ""
    for _number in range(2):  # the profile, and a first slice of the long one
        entry = next(entries)
        b"".join(entry.chunks)
        cursor = entry.cursor
    services.remove_message(ada, held.pk, 1, actor=by(ada))
    text = "".join(b"".join(entry.chunks).decode() for entry in RecordsConnector({}).export(who, scope, cursor))
    assert SECRET in text and "the other one" in text
    assert orjson.dumps(text).count(b"Removed by the person") == 1


def test_a_long_conversation_goes_in_short_transactions(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = give(ada, conversation("c", *[f"text {number}" for number in range(60)]))
    monkeypatch.setattr("apps.records.rows.ROWS_PER_TRANSACTION", 7)
    monkeypatch.setattr("apps.records.rows.ROWS_PER_TRANSACTION_POSTGRESQL", 7)
    new_id = services.remove_message(ada, held.pk, 30, actor=by(ada))
    texts = said(ada, new_id)
    assert texts[29] == "[removed]" and len(selectors.read_conversation(ada, new_id).turns) == 50
    row = Conversation.objects.get(pk=new_id)
    assert (row.node_count, row.message_count, row.source) == (61, 59, "chatgpt")
    assert (row.started_at, row.updated_at, row.imported_at) == (held.started_at, held.updated_at, held.imported_at)
    assert Message.objects.count() == 61


def test_what_is_removed_is_not_counted_as_a_message(ada: Subject) -> None:
    row = give(ada, conversation("c1", "one", "two", "three"))
    positions = list(Message.objects.filter(conversation=row, is_message=True).values_list("position", flat=True))
    changed = services.correct_message(ada, row.pk, positions[0], "other words", actor=by(ada))
    assert Conversation.objects.get(pk=changed).message_count == 3
    changed = services.remove_message(ada, changed, positions[1], actor=by(ada))
    assert Conversation.objects.get(pk=changed).message_count == 2
    assert selectors.held_summary(ada).messages == 2
    services.store_conversations(ada, [conversation("c1", "one", "two", "three", "four")], actor=by(ada))
    assert Conversation.objects.get(pk=changed).message_count == 3
