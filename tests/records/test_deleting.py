"""Erasing single conversations, by hand and by retention; holds; and what a kill between any two writes leaves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.models import Key
from apps.records import objects, selectors, services
from apps.records.errors import AttachmentNotFound, ConversationNotFound, ConversationsHeld, SubjectFrozen
from apps.records.models import Attachment, Conversation, Message, Subject
from apps.records.services import deleting, storing
from tests.records.conftest import attachment, by, conversation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def give(subject: Subject, *names: str) -> dict[str, Conversation]:
    made = {}
    for name in names:
        parsed = conversation(name, "text", title=name, attachments=[attachment(f"{name}.pdf", b"pdf")])
        services.store_conversations(subject, [parsed], actor=by(subject))
        made[name] = Conversation.objects.filter(subject=subject).order_by("-imported_at")[0]
    return made


def titles(subject: Subject) -> list[str]:
    return sorted(line.title for line in selectors.conversations_page(subject).items)


def test_a_deleted_conversation_is_gone_with_key_rows_and_file_and_no_other_is(ada: Subject, storage: Path) -> None:
    made = give(ada, "c1", "c2")
    gone, kept = made["c1"], made["c2"]
    file = Attachment.objects.get(conversation=gone)
    result = services.delete_conversations(ada, [gone.pk], actor=by(ada))
    assert (result.conversations, result.messages, result.attachments) == (1, 1, 1)
    assert titles(ada) == ["c2"]
    assert Message.objects.filter(conversation_id=gone.pk).count() == 0
    assert objects.names_of(objects.ATTACHMENTS, ada.pk) == [Attachment.objects.get(conversation=kept).object_name]
    with pytest.raises(KeyDestroyed):
        keys.open_key(gone.key_id)
    assert keys.open_key(kept.key_id)
    with pytest.raises(AttachmentNotFound):
        selectors.open_attachment(ada, file.pk)
    [entry] = Entry.objects.filter(event=Event.CONVERSATIONS_DELETED, about=ada.handle)
    assert details_of(entry) == {"conversations": 1, "messages": 1, "attachments": 1}


def test_nobody_deletes_what_is_anothers(ada: Subject, ben: Subject, storage: Path) -> None:
    hers, his = give(ada, "c1")["c1"], give(ben, "c1")["c1"]
    with pytest.raises(ConversationNotFound):
        services.delete_conversations(ben, [his.pk, hers.pk], actor=by(ben))
    assert titles(ada) == titles(ben) == ["c1"]
    services.delete_conversations(ben, [his.pk], actor=by(ben))
    assert (titles(ada), titles(ben)) == (["c1"], [])


def test_deleting_all_leaves_what_a_hold_keeps(ada: Subject, storage: Path) -> None:
    made = give(ada, "c1", "c2", "c3")
    until = timezone.now().date() + timedelta(days=9)
    hold = services.place_hold(ada, basis="GDPR 17(3)(e)", until=until, actor=by(ada), conversation_id=made["c2"].pk)
    with pytest.raises(ConversationsHeld) as held:
        services.delete_conversations(ada, [made["c1"].pk, made["c2"].pk], actor=by(ada))
    assert held.value.until == until and titles(ada) == ["c1", "c2", "c3"]
    [line] = [line for line in selectors.conversations_page(ada).items if line.title == "c2"]
    assert line.held_until == until
    assert services.delete_all_conversations(ada, actor=by(ada)).conversations == 2
    assert titles(ada) == ["c2"]
    services.lift_hold(hold, actor=by(ada))
    assert services.delete_all_conversations(ada, actor=by(ada)).conversations == 1


def test_a_hold_on_everything_keeps_everything(ada: Subject, storage: Path) -> None:
    give(ada, "c1", "c2")
    services.place_hold(ada, basis="order", until=timezone.now().date(), actor=by(ada))
    assert services.delete_all_conversations(ada, actor=by(ada)).conversations == 0
    assert titles(ada) == ["c1", "c2"]


@pytest.mark.parametrize("step", ["erase_keys", "delete_attachments", "delete_conversations"])
def test_what_broke_off_is_finished_by_the_next_run(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made = give(ada, "c1", "c2")

    def killed(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    module = {"erase_keys": deleting.keys, "delete_attachments": deleting, "delete_conversations": deleting.rows}[step]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, step, killed)
        services.delete_conversations(ada, [made["c1"].pk], actor=by(ada))
    assert titles(ada) == ["c2"]  # it is not seen any more, whatever is left of it
    assert Conversation.objects.filter(subject=ada).count() == 2
    assert services.finish_deletions() == 1
    assert Conversation.objects.filter(subject=ada).count() == 1
    assert len(objects.names_of(objects.ATTACHMENTS, ada.pk)) == 1
    assert services.finish_deletions() == 0


def test_without_a_signature_nothing_is_destroyed(ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = give(ada, "c1")

    def unsigned(*_arguments: Any, **_options: Any) -> None:
        raise NotSigned

    with monkeypatch.context() as patch, pytest.raises(NotSigned):
        patch.setattr("apps.keys.services.destroying.wait_until_signed", unsigned)
        services.delete_conversations(ada, [made["c1"].pk], actor=by(ada))
    assert keys.open_key(made["c1"].key_id)
    assert Message.objects.filter(conversation=made["c1"]).count() == 2
    assert services.finish_deletions() == 1


def test_a_conversation_that_was_deleted_can_come_in_again(ada: Subject, storage: Path) -> None:
    made = give(ada, "c1")
    services.mark_conversations(ada, [made["c1"].pk], actor=by(ada))  # its rows are still there
    report = services.store_conversations(ada, [conversation("c1", "text", "more")], actor=by(ada))
    assert (report.conversations, report.messages) == (1, 2)
    assert Conversation.objects.get(subject=ada).key_id != made["c1"].key_id


def test_a_frozen_person_deletes_nothing(ada: Subject, storage: Path) -> None:
    made = give(ada, "c1")
    services.freeze_subject(ada.pk)
    with pytest.raises(SubjectFrozen):
        services.delete_conversations(ada, [made["c1"].pk], actor=by(ada))


def age(subject: Subject, name: str, made: dict[str, Conversation], days: int) -> None:
    then = timezone.now() - timedelta(days=days)
    Conversation.objects.filter(pk=made[name].pk).update(updated_at=then, imported_at=then)


def test_retention_takes_what_is_older_than_the_rule(ada: Subject, ben: Subject, storage: Path, settings: Any) -> None:
    settings.RETENTION_DAYS = 100
    hers, his = give(ada, "old", "new"), give(ben, "old")
    for subject, made in ((ada, hers), (ben, his)):
        age(subject, "old", made, days=50)
    assert services.run_retention() == 0
    services.set_retention(ada, 30, actor=by(ada))
    assert services.run_retention() == 1
    assert (titles(ada), titles(ben)) == (["new"], ["old"])
    age(ben, "old", his, days=101)
    assert services.run_retention() == 1
    assert titles(ben) == []


def test_an_old_export_that_came_in_today_stays(ada: Subject, storage: Path, settings: Any) -> None:
    settings.RETENTION_DAYS = 100
    made = give(ada, "old")
    Conversation.objects.filter(pk=made["old"].pk).update(updated_at=timezone.now() - timedelta(days=900))
    assert services.run_retention() == 0


@pytest.mark.parametrize("kept_by", ["restriction", "hold", "freeze", "no rule"])
def test_retention_leaves_alone_what_something_stronger_keeps(
    ada: Subject, storage: Path, settings: Any, kept_by: str
) -> None:
    settings.RETENTION_DAYS = 0 if kept_by == "no rule" else 100
    made = give(ada, "old")
    age(ada, "old", made, days=500)
    if kept_by == "restriction":
        Subject.objects.filter(pk=ada.pk).update(restricted_at=timezone.now())
    if kept_by == "hold":
        services.place_hold(ada, basis="order", until=timezone.now().date(), actor=by(ada))
    if kept_by == "freeze":
        services.freeze_subject(ada.pk)
    assert services.run_retention() == 0
    assert Conversation.objects.filter(subject=ada, erasing_at__isnull=True).count() == 1


@pytest.mark.parametrize("state", ["restricted_at", "frozen_at"])
def test_retention_leaves_alone_who_is_restricted_or_frozen_this_very_moment_and_goes_on_with_the_others(
    ada: Subject, ben: Subject, storage: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    settings.RETENTION_DAYS = 100
    for subject in (ada, ben):
        age(subject, "old", give(subject, "old"), days=500)

    def listed(rows: Any) -> list[Any]:
        found = list(rows)
        if ada in found:
            Subject.objects.filter(pk=ada.pk).update(**{state: timezone.now()})
        return found

    monkeypatch.setattr(deleting, "list", listed, raising=False)
    monkeypatch.setattr(deleting, "finish_deletions", lambda **_options: 0)
    assert services.run_retention() == 1
    assert (titles(ben), Conversation.objects.filter(subject=ada, erasing_at=None).count()) == ([], 1)


def test_uploads_that_never_ended_are_swept(ada: Subject, storage: Path) -> None:
    give(ada, "c1")
    Attachment.objects.update(stored=False)
    assert services.sweep_attachments() == 0
    Attachment.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert services.sweep_attachments() == 1
    assert objects.names_of(objects.ATTACHMENTS, ada.pk) == [] and not Attachment.objects.exists()


def test_more_conversations_than_one_intent_may_name(
    ada: Subject, ben: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "BATCH", 3)
    services.store_conversations(ada, [conversation(f"c{n}", "text") for n in range(8)], actor=by(ada))
    services.store_conversations(ben, [conversation("c", "text")], actor=by(ben))
    assert services.delete_all_conversations(ada, actor=by(ada)).conversations == 8
    assert (Conversation.objects.count(), Message.objects.count()) == (1, 2)
    assert Key.objects.filter(kind="conversation").count() == 1


def test_a_conversation_that_is_erased_while_it_comes_in_again_is_stored_anew(
    ada: Subject, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = give(ada, "c1")
    looked = storing._Store._held_rows

    def erased_after_the_look(store: Any) -> Any:
        found = looked(store)
        if any(row.erasing_at is None for row in found.values()):
            services.delete_conversations(ada, [made["c1"].pk], actor=by(ada))
        return found

    monkeypatch.setattr(storing._Store, "_held_rows", erased_after_the_look)
    report = services.store_conversations(ada, [conversation("c1", "text", "more")], actor=by(ada))
    assert (report.conversations, report.messages) == (1, 2)
    assert Conversation.objects.get(subject=ada).pk != made["c1"].pk
