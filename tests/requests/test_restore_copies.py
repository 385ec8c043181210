"""After a restore a worker brings back what sealed copies hold of conversations since the backup, and nothing that was erased."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.audit.services import sequence
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, MasterKeyUnreachable
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import services as records
from apps.records import tasks
from apps.records.copies import restoring, running
from apps.records.copies.policies import add_policy, end_policy
from apps.records.copies.restoring import restore_commands
from apps.records.copies.returning import bring_back_everything, due_returns
from apps.records.errors import Contention
from apps.records.models import Conversation, CopyPolicy, CopyRun, Subject
from apps.records.selectors import read_conversation
from apps.requests.models import Kind
from tests.records.conftest import conversation
from tests.requests.conftest import approved, as_person, run
from tests.restoring import Backup

pytestmark = [
    pytest.mark.thorough, pytest.mark.starts, pytest.mark.django_db(transaction=True, databases=["default", "keys"]),
]  # fmt: skip


def rule(folder: Path, name: str) -> CopyPolicy:
    folder.mkdir()
    config = {"root": str(folder), "templates": ["people/{user_id}/"]}
    place = save_location(Location(kind="files", name=f"{name}, folder"), config=config, actor=Actor.system())
    return add_policy(name=name, country="Ireland", destination=place, target="copies", actor=Actor.system())


def copy(policy: CopyPolicy) -> None:
    CopyPolicy.objects.filter(pk=policy.pk).update(next_copy_at=policy.created_at)
    while running.run_policy(policy.pk):
        pass


def store(subject: Subject, name: str, text: str) -> Any:
    records.store_conversations(
        subject, [conversation(name, text, "An answer.")], actor=as_person(subject), source="chatgpt"
    )
    return Conversation.objects.filter(subject=subject).latest("imported_at").pk


def at_work() -> int:
    """What the schedule has a worker do, each minute, until nothing is due; return how many runs there were."""
    before = CopyRun.objects.filter(kind=CopyRun.Kind.RESTORE).count()
    while due := due_returns():
        for policy_id in due:
            tasks.bring_back_copies(str(policy_id))
    return CopyRun.objects.filter(kind=CopyRun.Kind.RESTORE).count() - before


@dataclass
class Restored:
    """Before the backup Ben had one conversation. Since then: one of Ada's came and went, one of Ben's came and was copied."""

    ada: Subject
    ben: Subject
    policy: CopyPolicy
    erased: UUID
    kept: UUID
    key_id: UUID
    said: str


@pytest.fixture
def restored(ada: Subject, ben: Subject, tmp_path: Path, capsys: Any) -> Restored:
    policy = rule(tmp_path / "kept", "Ben's copies")
    store(ben, "before", "What Ben had.")
    copy(policy)
    sequence()
    backup = Backup(tmp_path / "backup")
    erased = store(ada, "one", "What Ada erases.")
    kept = store(ben, "two", "What Ben keeps.")
    key_id = Conversation.objects.get(pk=kept).key_id
    copy(policy)
    records.delete_conversations(ada, [erased], actor=as_person(ada))
    sequence()
    backup.restore("default")
    assert quarantine.reason() != ""
    assert due_returns() == []
    capsys.readouterr()
    call_command("replay_tombstones")
    return Restored(ada, ben, policy, erased, kept, key_id, capsys.readouterr().out)


def test_what_was_kept_since_the_backup_comes_back_by_itself_as_it_was(restored: Restored) -> None:
    assert not Conversation.objects.filter(pk=restored.kept).exists()
    assert at_work() == 1
    found = Conversation.objects.get(pk=restored.kept)
    assert (found.subject, found.key_id) == (restored.ben, restored.key_id)
    assert "What Ben keeps." in repr(read_conversation(restored.ben, found.pk).turns)
    assert Conversation.objects.count() == 2, "Ada's copy is still in its place, and no key opens it"
    assert (last_run().state, last_run().counts) == (
        "done",
        {"restored": 1, "already_held": 0, "failed": 0, "shut": 1, "later": 0},
    )
    assert at_work() == 0, "once"
    entry = details_of(Entry.objects.get(event=Event.COPIES_RESTORED))
    assert (entry["conversations"], entry["failed"]) == (1, 1)


def test_the_replay_says_so_and_names_what_does_the_same_by_hand(restored: Restored, capsys: Any) -> None:
    _said, _, named = restored.said.partition("A worker brings it back now")
    [line] = [line for line in named.splitlines() if "manage.py" in line]
    _program, *arguments = shlex.split(line)
    assert arguments == ["restore_copies", "Ben's copies"]
    with pytest.raises(SystemExit):
        call_command(*arguments)
    assert '"its key is not there' in capsys.readouterr().out
    assert Conversation.objects.filter(pk=restored.kept, key_id=restored.key_id).exists()
    assert at_work() == 1
    assert Conversation.objects.count() == 2


def test_what_came_back_and_is_erased_then_stays_so(restored: Restored) -> None:
    """It has the key that it had: so erasing it makes the copies unreadable from which it came."""
    at_work()
    records.delete_conversations(restored.ben, [restored.kept], actor=as_person(restored.ben))
    bring_back_everything()
    assert at_work() == 1
    assert not Conversation.objects.filter(pk=restored.kept).exists()
    with pytest.raises(SystemExit):
        call_command("restore_copies", "Ben's copies")
    assert [row.subject for row in Conversation.objects.all()] == [restored.ben], "the one from before"
    with pytest.raises(KeyDestroyed):
        keys.open_key(restored.key_id)


def test_somebody_erased_meanwhile_gets_nothing_back(restored: Restored) -> None:
    run(approved(restored.ben, Kind.ERASURE))
    assert at_work() == 1
    assert not Conversation.objects.exists()
    assert "restored" not in {name for name, count in last_run().counts.items() if count}


def test_a_place_that_does_not_answer_is_asked_again_until_it_does(restored: Restored, tmp_path: Path) -> None:
    (tmp_path / "kept").rename(tmp_path / "away")
    tasks.bring_back_copies(str(restored.policy.pk))
    assert (last_run().state, last_run().reason) == ("failed", "unreachable")
    assert due_returns() == [], "in ten minutes"
    (tmp_path / "away").rename(tmp_path / "kept")
    CopyPolicy.objects.update(bring_back_at=timezone.now())
    assert at_work() == 1
    assert Conversation.objects.filter(pk=restored.kept).exists()


@pytest.mark.parametrize("error", [MasterKeyUnreachable, Contention])
def test_what_could_not_be_opened_or_written_just_now_is_tried_again(
    restored: Restored, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def not_now(*_arguments: Any, **_named: Any) -> None:
        raise error

    with monkeypatch.context() as away:
        away.setattr(restoring, "store_conversations", not_now)
        assert at_work() == 1
    assert (last_run().counts["failed"], last_run().counts["later"]) == (1, 1)
    assert not Conversation.objects.filter(pk=restored.kept).exists()
    assert not due_returns() and CopyPolicy.objects.get().bring_back_at is not None, "in ten minutes"
    CopyPolicy.objects.update(bring_back_at=timezone.now())
    assert at_work() == 1
    assert Conversation.objects.filter(pk=restored.kept).exists()
    assert CopyPolicy.objects.get().bring_back_at is None


def test_how_far_it_is_is_seen_meanwhile_and_two_workers_do_not_do_it_at_once(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = restoring.restore_one

    def look(*arguments: Any) -> None:
        seen.append((due_returns(), tasks.bring_back_copies(str(restored.policy.pk)), last_run().state))
        real(*arguments)
        seen.append(last_run().counts)

    monkeypatch.setattr(restoring, "restore_one", look)
    assert at_work() == 1
    assert seen[0] == seen[2] == ([], None, "running")
    assert sum(seen[3].values()) == 1, "as it was before the second one"


def last_run() -> CopyRun:
    return CopyRun.objects.filter(kind=CopyRun.Kind.RESTORE).latest("started_at")


def test_only_sealed_copies_that_are_there_are_named(db: Any, tmp_path: Path) -> None:
    assert restore_commands() == []
    kept, ended = rule(tmp_path / "kept", "Nightly"), rule(tmp_path / "ended", "Ended")
    CopyPolicy.objects.filter(pk=rule(tmp_path / "readable", "Readable").pk).update(form="json", is_active=False)
    assert restore_commands() == ["manage.py restore_copies Ended", "manage.py restore_copies Nightly"]
    end_policy(ended, actor=Actor.system())
    copy(ended)
    assert restore_commands() == ["manage.py restore_copies Nightly"]
    assert kept.pk != ended.pk
