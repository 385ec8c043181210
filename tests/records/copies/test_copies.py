"""Copies in every kind of place: written once, again when something changed, read again, restored, and gone with what they are of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services as keys
from apps.keys.errors import MasterKeyUnreachable
from apps.keys.models import Key
from apps.locations.contract import Scope
from apps.locations.errors import Unavailable
from apps.locations.models import Location
from apps.locations.registry import connector_for
from apps.locations.services import check_location
from apps.locations.stores.files import FilesStore
from apps.records import selectors, services
from apps.records.copies import restoring, running, writing
from apps.records.copies.policies import change_policy, end_policy
from apps.records.models import Attachment, Conversation, Copy, CopyPolicy, CopyRun, Message, Subject
from apps.records.subjects import create_subject, identity_of
from tests.locations.stores.conftest import Place
from tests.records.conftest import by, conversation
from tests.records.copies.conftest import MakePolicy, checked, copied, current, due, give, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
WORDS = (b"question", b"answer", b"title", b"file 0")


def content(place: Place, **options: Any) -> bytes:
    return b"".join(b"".join(place.store(**options).get(name)) for name in there(place))


def lose(subject: Subject) -> None:
    """Delete a person's conversations past everything, as a mistake in the database does."""
    with connection.cursor() as cursor:
        for model in (Message, Attachment):
            cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE conversation_id IN "
                           f"(SELECT id FROM {Conversation._meta.db_table} WHERE subject_id = %s)",
                           [subject.pk if connection.vendor == "postgresql" else subject.pk.hex])  # fmt: skip
    Conversation.objects.filter(subject=subject).delete()


def titles(subject: Subject) -> list[str]:
    return sorted(line.title for line in selectors.conversations_page(subject).items)


# Every kind of place


@pytest.mark.slow
def test_sealed_copies_are_made_checked_restored_and_erased(
    ada: Subject, ben: Subject, any_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", "c2", files=2)
    give(ben, "c1")
    policy = make_policy(any_place)
    assert copied(policy) == {"written": 3}
    assert len(there(any_place)) == 3
    sealed = content(any_place)
    assert not any(word in sealed for word in WORDS)
    assert copied(policy) == {}
    assert checked(policy) == {"ok": 3}
    lose(ada)
    assert titles(ada) == []
    result = restoring.restore(policy, actor=Actor.system())
    assert (result.conversations, result.messages, result.attachments, result.already_held) == (2, 4, 4, 1)
    assert titles(ada) == ["title c1", "title c2"]
    assert restoring.restore(policy, actor=Actor.system(), subject_id=ada.pk).already_held == 2
    copied(policy)
    place, who = connector_for(policy.location), identity_of(ada)
    assert place.remaining(who, Scope()).count > 0
    list(place.erase(who, Scope(), ""))
    assert place.remaining(who, Scope()).count == 0
    assert not [name for name in there(any_place) if str(ada.pk) in name]
    assert len([name for name in there(any_place) if str(ben.pk) in name]) == 1
    list(place.erase(who, Scope(), ""))


# What changes


def test_only_what_changed_is_copied_again_and_the_old_one_goes(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(files_place)
    copied(policy)
    before = {copy.conversation_id: copy.pk for copy in current(policy)}
    more = conversation("c1", "question c1", "answer c1", "one more", title="title c1")
    services.store_conversations(ada, [more], actor=by(ada))
    assert copied(policy) == {"written": 1}
    after = {copy.conversation_id: copy.pk for copy in current(policy)}
    assert len(set(before.values()) & set(after.values())) == 1
    running.run_policy(policy.pk)
    assert len(there(files_place)) == 2


@pytest.mark.parametrize("what", ["title", "file", "key"])
def test_a_new_title_a_new_file_and_a_new_key_each_make_a_copy_old(
    ada: Subject, files_place: Place, make_policy: MakePolicy, what: str
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    if what == "title":
        changed = conversation("c1", "question c1", "answer c1", title="another")
        services.store_conversations(ada, [changed], actor=by(ada))
    elif what == "file":
        give(ada, "c1", files=1)
    else:
        Copy.objects.update(key_id=keys.create_key(keys.KeyKind.CONVERSATION, owner=None).id)
    assert copied(policy) == {"written": 1}


def test_a_deleted_conversation_takes_its_copies_with_it(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(files_place, form="txt")
    copied(policy)
    gone = Conversation.objects.order_by("pk")[0]
    services.delete_conversations(ada, [gone.pk], actor=by(ada))
    assert running.due_policies() == [policy.pk]
    running.run_policy(policy.pk)
    assert [copy.conversation_id for copy in current(policy)] == [Conversation.objects.get().pk]
    assert len(there(files_place)) == 1
    assert details_of(Entry.objects.get(event=Event.COPIES_REMOVED))["removed"] == 1
    assert running.due_policies() == []


def test_retention_reaches_copies(ada: Subject, files_place: Place, make_policy: MakePolicy, settings: Any) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    settings.RETENTION_DAYS = 10
    long_ago = timezone.now() - timedelta(days=11)
    Conversation.objects.update(updated_at=long_ago, imported_at=long_ago)
    assert services.run_retention() == 1
    running.run_policy(policy.pk)
    assert there(files_place) == []


def test_a_key_that_was_replaced_dooms_the_old_copy(ada: Subject, files_place: Place, make_policy: MakePolicy) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    row = Conversation.objects.get()
    old = keys.create_key(keys.KeyKind.CONVERSATION, owner=row.pk, parent=ada.key_id).id
    Copy.objects.update(key_id=old)
    keys.erase_keys([old], about=ada.handle, actor=Actor.system())
    [before] = there(files_place)
    assert copied(policy) == {"written": 1}
    assert before not in there(files_place)


def test_rows_that_were_lost_are_not_taken_for_erased(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    lose(ada)
    copied(policy)
    assert len(there(files_place)) == 1
    Key.objects.update(created_at=timezone.now() - timedelta(days=3))
    swept = keys.sweep_ownerless_keys(confirmed_by=Actor.system())  # the copy's row names the key: it stays
    assert swept.destroyed == 0
    assert restoring.restore(policy, actor=Actor.system()).conversations == 1


# What may not be copied


@pytest.mark.parametrize("state", ["frozen_at", "restricted_at"])
def test_nothing_is_copied_of_a_person_who_is_frozen_or_restricted(
    ada: Subject, ben: Subject, files_place: Place, make_policy: MakePolicy, state: str
) -> None:
    give(ada, "c1")
    give(ben, "c1")
    Subject.objects.filter(pk=ada.pk).update(**{state: timezone.now()})
    assert copied(make_policy(files_place)) == {"written": 1}
    assert str(ben.pk) in there(files_place)[0]


@pytest.mark.parametrize("when", ["before", "during"])
def test_an_erasure_in_the_middle_of_a_copy_leaves_nothing_behind(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The person is erased, places and all, while the bytes of a copy are on their way."""
    give(ada, "c1")
    policy = make_policy(files_place)
    place, who = connector_for(policy.location), identity_of(ada)
    real = writing._chunks

    def erase() -> None:
        services.freeze_subject(ada.pk)
        keys.erase_keys([ada.key_id], about=ada.handle, actor=Actor.system())
        list(place.erase(who, Scope(), ""))

    def chunks(*arguments: Any) -> Iterator[bytes]:
        if when == "before":
            erase()
        yield from real(*arguments)
        if when == "during":
            erase()

    monkeypatch.setattr(writing, "_chunks", chunks)
    copied(policy)
    assert there(files_place) == []
    assert place.remaining(who, Scope()).count == 0


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_restriction_in_the_middle_of_a_copy_leaves_nothing_behind(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    step, real = ("_write_down", writing._write_down) if when == "before" else ("_is_kept", writing._is_kept)

    def restricted(*arguments: Any) -> Any:
        Subject.objects.filter(pk=ada.pk).update(restricted_at=timezone.now())
        return real(*arguments)

    monkeypatch.setattr(writing, step, restricted)
    assert copied(policy) == {"skipped": 1}
    assert there(files_place) == []


def test_what_is_written_to_while_it_is_copied_is_copied_again(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    real = writing._chunks

    def chunks(*arguments: Any) -> Iterator[bytes]:
        yield from real(*arguments)
        more = conversation("c1", "question c1", "answer c1", "more", title="title c1")
        services.store_conversations(ada, [more], actor=by(ada))

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_chunks", chunks)
        assert copied(policy) == {"skipped": 1}
    assert there(files_place) == []
    assert copied(policy) == {"written": 1}


# Trouble


def test_a_place_that_does_not_answer_is_said_and_tried_again(
    ada: Subject, s3_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = make_policy(Place("s3", s3_place.config | {"endpoint_url": "http://127.0.0.1:9"}))
    assert copied(policy) == {"failure": 1}
    run = CopyRun.objects.get()
    assert (run.state, run.reason) == ("failed", "unreachable")
    policy.refresh_from_db()
    assert policy.lease_until is not None
    assert running.due_policies() == []  # not at once
    with pytest.raises(Unavailable):
        list(connector_for(policy.location).erase(identity_of(ada), Scope(), ""))
    assert not check_location(policy.location, actor=Actor.system()).is_reachable


def test_a_copy_that_cannot_be_deleted_is_kept_in_mind_until_it_can(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    services.delete_all_conversations(ada, actor=by(ada))
    root = Path(files_place.config["root"])
    root.rename(root.with_name("away"))
    running.run_policy(policy.pk)
    assert Copy.objects.filter(doomed_at__isnull=False).count() == 1
    root.with_name("away").rename(root)
    due(policy, next_copy_at=None)
    running.run_policy(policy.pk)
    assert there(files_place) == []
    assert not Copy.objects.exists()


@pytest.mark.parametrize("damage", ["missing", "shorter", "flipped", "another's"])
def test_damage_is_found_and_mended(ada: Subject, files_place: Place, make_policy: MakePolicy, damage: str) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(files_place)
    copied(policy)
    one, other = (Path(files_place.config["root"]) / "habeas_copies" / name for name in there(files_place))
    data = one.read_bytes()
    if damage == "missing":
        one.unlink()
    elif damage == "shorter":
        one.write_bytes(data[:-20])
    elif damage == "flipped":
        one.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    else:
        one.write_bytes(other.read_bytes())
    assert checked(policy) == {"ok": 1, "missing" if damage == "missing" else "changed": 1}
    newest = CopyRun.objects.filter(kind="copy").order_by("-started_at")[0]
    assert newest.counts["written"] == 1  # at once, without waiting for its time
    assert checked(policy) == {"ok": 2}


def test_a_readable_copy_that_somebody_edited_is_found(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place, form="txt")
    copied(policy)
    path = Path(files_place.config["root"]) / "habeas_copies" / there(files_place)[0]
    path.write_bytes(path.read_bytes().replace(b"answer", b"Answer"))
    assert checked(policy) == {"changed": 1}


def test_of_a_copy_that_has_become_longer_the_rest_is_not_read(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place, form="txt")
    copied(policy)
    monkeypatch.setattr(FilesStore, "get", lambda _self, _name: iter(lambda: b"and so on\n" * 100, b""))  # no end
    assert checked(policy) == {"changed": 1}


def _dying(real: Any, at: int, *, is_done_first: bool) -> Any:
    calls = count()

    def dying(self: Any, *arguments: Any) -> None:
        is_the_one = next(calls) == at
        if is_done_first or not is_the_one:
            real(self, *arguments)
        if is_the_one:
            raise KeyboardInterrupt

    return dying


@pytest.mark.thorough
@pytest.mark.parametrize("call", ["put", "delete"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_killed_anywhere_it_goes_on_and_ends_the_same(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    """The process dies at the n-th call to the place, before or after the place has done it."""
    give(ada, "c1", "c2", "c3")
    policy = make_policy(files_place)
    copied(policy)
    for name in ("c1", "c2", "c3"):
        more = conversation(name, f"question {name}", f"answer {name}", "more", title=f"title {name}")
        services.store_conversations(ada, [more], actor=by(ada))
    for is_done_first in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(FilesStore, call, _dying(getattr(FilesStore, call), at, is_done_first=is_done_first))
            with contextlib.suppress(KeyboardInterrupt):
                copied(policy)
        due(policy, token=None)
    Copy.objects.filter(stored=False).update(created_at=timezone.now() - timedelta(days=2))
    copied(policy)
    running.run_policy(policy.pk)
    assert len(current(policy)) == 3
    assert {copy.object_name for copy in current(policy)} == set(there(files_place))
    assert checked(policy) == {"ok": 3}


def test_two_workers_do_not_carry_out_one_rule_together(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = due(make_policy(files_place))
    claimed = running._claim(policy.pk)
    assert claimed is not None
    assert running._claim(policy.pk) is None
    assert running.run_policy(policy.pk) is False
    assert there(files_place) == []


def test_long_work_is_cut_and_goes_on(ada: Subject, files_place: Place, make_policy: MakePolicy) -> None:
    give(ada, "c1", "c2", "c3")
    policy = due(make_policy(files_place))
    rounds = 1
    while running.run_policy(policy.pk, seconds=0):
        rounds += 1
    assert rounds >= 3
    assert CopyRun.objects.get().counts["written"] == 3


# Restoring


def test_what_was_erased_stays_erased(ada: Subject, files_place: Place, make_policy: MakePolicy) -> None:
    """Even if the destination never deleted it: the key is gone."""
    give(ada, "c1", "c2")
    policy = make_policy(files_place)
    copied(policy)
    kept = {name: b"".join(files_place.store().get(name)) for name in there(files_place)}
    gone = Conversation.objects.order_by("pk")[0]
    services.delete_conversations(ada, [gone.pk], actor=by(ada))
    running.run_policy(policy.pk)
    for name, data in kept.items():
        files_place.store().put(name, [data])
    result = restoring.restore(policy, actor=Actor.system())
    assert (result.conversations, result.already_held, len(result.failed)) == (0, 1, 1)
    assert Conversation.objects.count() == 1


def test_the_rows_of_the_copies_are_not_needed_to_restore(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", files=1)
    policy = make_policy(files_place)
    copied(policy)
    lose(ada)
    Copy.objects.all().delete()
    assert restoring.restore(policy, actor=Actor.system()).attachments == 1
    assert titles(ada) == ["title c1"]


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_copy_that_was_moved_to_somebody_elses_folder_is_not_given_to_them(
    ada: Subject, files_place: Place, make_policy: MakePolicy, is_lost: bool
) -> None:
    """Its content is authenticated, and whose it is stands in its name, which whoever can write to the place can change."""
    mallory = create_subject(emails=["mallory@example.org"])
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    if is_lost:
        lose(ada)
        Copy.objects.all().delete()
    root = Path(files_place.config["root"])
    [folder] = [path for path in root.rglob(str(ada.pk)) if path.is_dir()]
    folder.rename(folder.with_name(str(mallory.pk)))
    result = restoring.restore(policy, actor=Actor.system())
    assert (result.conversations, [why for _name, why in result.failed]) == (
        0, ["it is somebody else's: its name in the place was changed"],
    )  # fmt: skip
    assert titles(mallory) == []
    folder.with_name(str(mallory.pk)).rename(folder)
    assert restoring.restore(policy, actor=Actor.system()).failed == []
    assert titles(ada) == ["title c1"]


def test_nothing_is_restored_for_a_person_who_is_being_erased_or_withdrew_consent(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    policy = make_policy(files_place)
    copied(policy)
    lose(ada)
    services.set_recording(ada, False, actor=by(ada))
    assert len(restoring.restore(policy, actor=Actor.system()).failed) == 1
    services.set_recording(ada, True, actor=by(ada))
    services.freeze_subject(ada.pk)
    assert len(restoring.restore(policy, actor=Actor.system()).failed) == 1
    assert titles(ada) == []


def test_the_command_restores_one_or_all(
    ada: Subject, files_place: Place, make_policy: MakePolicy, capsys: Any
) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(files_place, name="Nightly")
    copied(policy)
    one = Conversation.objects.order_by("pk")[0].pk
    lose(ada)
    with pytest.raises(CommandError, match="Nightly"):
        call_command("restore_copies", "Weekly")
    call_command("restore_copies", "Nightly", "--conversation", str(one))
    assert orjson.loads(capsys.readouterr().out)["conversations"] == 1
    call_command("restore_copies", "Nightly", "--subject", "ada@example.org")
    assert orjson.loads(capsys.readouterr().out)["conversations"] == 1
    assert titles(ada) == ["title c1", "title c2"]
    with pytest.raises(CommandError):
        call_command("restore_copies", "Nightly", "--subject", "nobody@example.org")


# Rules


def test_a_rule_is_a_place_and_ending_it_takes_every_copy(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1", "c2")
    policy = make_policy(files_place)
    copied(policy)
    place = Location.objects.get(kind="copies")
    assert Location.objects.that_ever_held_data().filter(pk=place.pk).exists()
    [item, _other] = connector_for(place).find(identity_of(ada), Scope())
    assert item.kind == "copy"
    [entry] = connector_for(place).export(identity_of(ada), Scope(), "")
    listed = orjson.loads(b"".join(entry.chunks))
    assert len(listed) == 2
    assert end_policy(policy, actor=Actor.system()) == 2
    running.run_policy(policy.pk)
    assert there(files_place) == []
    policy.refresh_from_db()
    assert not policy.is_active
    assert not Location.objects.that_ever_held_data().filter(pk=place.pk).exists()
    assert copied(CopyPolicy.objects.get(pk=policy.pk)) == {"written": 2}  # the counts of the run before: none followed
    assert there(files_place) == []
    change_policy(policy, actor=Actor.system(), is_active=True)
    assert Location.objects.that_ever_held_data().filter(pk=place.pk).exists()
    copied(policy)
    assert len(there(files_place)) == 2
    assert Entry.objects.filter(event=Event.COPY_POLICY_CHANGED).count() == 2


@pytest.mark.slow
def test_local_and_distant_copies_stand_side_by_side(
    ada: Subject, files_place: Place, s3_place: Place, make_policy: MakePolicy
) -> None:
    give(ada, "c1")
    near, far = make_policy(files_place, name="Near"), make_policy(s3_place, name="Far", form="json")
    copied(near)
    copied(far)
    assert len(there(files_place)) == len(there(s3_place)) == 1
    services.delete_all_conversations(ada, actor=by(ada))
    assert set(running.due_policies()) == {near.pk, far.pk}
    for policy in (near, far):
        running.run_policy(policy.pk)
    assert there(files_place) == there(s3_place) == []


def test_ending_a_rule_while_it_copies_leaves_nothing_behind(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1", "c2", "c3")
    policy = make_policy(files_place)
    real, calls = FilesStore.put, count(1)

    def ended_at_the_second(store: FilesStore, name: str, chunks: Any) -> None:
        if next(calls) == 2:
            end_policy(CopyPolicy.objects.get(pk=policy.pk), actor=Actor.system())
        real(store, name, chunks)

    monkeypatch.setattr(FilesStore, "put", ended_at_the_second)
    assert copied(policy)["failure"] == 1
    assert running.run_policy(policy.pk) is False
    assert (there(files_place), Copy.objects.count()) == ([], 0)
    policy.location.refresh_from_db()
    assert policy.location.emptied_at is not None


def test_a_conversation_that_kills_its_worker_does_not_keep_the_others_from_being_copied(
    ada: Subject, files_place: Place, make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "c1", "c2", "c3")
    policy = make_policy(files_place)
    poison = Conversation.objects.order_by("pk")[1].pk
    real = writing.write_copy

    def killed(policy: CopyPolicy, store: Any, row: Conversation, **options: Any) -> Any:
        if row.pk == poison:
            raise KeyboardInterrupt
        return real(policy, store, row, **options)

    with monkeypatch.context() as patched:
        patched.setattr(running, "write_copy", killed)
        due(policy)
        with pytest.raises(KeyboardInterrupt):
            running.run_policy(policy.pk)
        assert copied(policy) == {"written": 2, "failed": 1}
    assert copied(policy) == {"written": 1}


def test_reading_again_that_is_switched_off_while_it_is_due_ends(
    ada: Subject, files_place: Place, make_policy: MakePolicy
) -> None:
    policy = make_policy(files_place)
    due(policy, next_copy_at=None, next_check_at=timezone.now(), check_days=0)
    assert running.run_policy(policy.pk) is False
    policy.refresh_from_db()
    assert policy.next_check_at is None


@pytest.mark.starts
def test_the_commands_do_nothing_in_quarantine() -> None:
    quarantine.enter(quarantine.Reason.LOG_BEHIND)
    for command in (("restore_copies", "Copies"), ("sweep", "--remove")):
        with pytest.raises(CommandError, match="Nothing was done"):
            call_command(*command)


def test_while_master_keys_are_out_of_reach_no_copy_is_called_damaged_and_the_run_goes_on_where_it_was(
    files_place: Place, make_policy: MakePolicy, ada: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(ada, "one", "two", "three")
    policy = due(make_policy(files_place))
    real, opened = keys.open_key, iter([True])

    def away_after_the_first(key_id: UUID) -> bytes:
        if next(opened, False):
            return real(key_id)
        raise MasterKeyUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "open_key", away_after_the_first)
        assert running.run_policy(policy.pk) is False
    run = CopyRun.objects.get(policy=policy)
    assert (run.state, run.counts.get("written"), run.counts.get("failed")) == ("running", 1, None)
    policy.refresh_from_db()
    assert policy.lease_until is not None and policy.lease_until > timezone.now() + timedelta(minutes=9)
    assert copied(policy) == {"written": 3}
    assert len(there(files_place)) == len(current(policy)) == 3
