"""After a restore the replay names what brings conversations back from sealed copies, and that is all it takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.services import sequence
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import services as records
from apps.records.copies import running
from apps.records.copies.policies import add_policy, end_policy
from apps.records.copies.restoring import restore_commands
from apps.records.models import Conversation, CopyPolicy, Subject
from apps.records.selectors import read_conversation
from tests.records.conftest import conversation
from tests.requests.conftest import as_person
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


def test_what_was_kept_since_the_backup_comes_back_by_the_command_that_is_named(
    ada: Subject, ben: Subject, tmp_path: Path, capsys: Any
) -> None:
    policy = rule(tmp_path / "kept", "Ben's copies")
    sequence()
    backup = Backup(tmp_path / "backup")
    erased = store(ada, "one", "What Ada erases.")
    store(ben, "two", "What Ben keeps.")
    copy(policy)
    records.delete_conversations(ada, [erased], actor=as_person(ada))
    sequence()
    backup.restore("default")
    assert quarantine.reason() != ""
    capsys.readouterr()
    call_command("replay_tombstones")
    assert not Conversation.objects.exists()
    _said, _, named = capsys.readouterr().out.partition("may lie in sealed copies")
    [line] = [line for line in named.splitlines() if "manage.py" in line]
    _program, *arguments = shlex.split(line)
    assert arguments == ["restore_copies", "Ben's copies"]
    with pytest.raises(SystemExit):  # Ada's copy is still in its place, and no key opens it
        call_command(*arguments)
    assert '"its key is not there' in capsys.readouterr().out
    [found] = Conversation.objects.all()
    assert found.subject == ben
    assert "What Ben keeps." in repr(read_conversation(ben, found.pk).turns)


def test_only_sealed_copies_that_are_there_are_named(db: Any, tmp_path: Path) -> None:
    assert restore_commands() == []
    kept, ended = rule(tmp_path / "kept", "Nightly"), rule(tmp_path / "ended", "Ended")
    CopyPolicy.objects.filter(pk=rule(tmp_path / "readable", "Readable").pk).update(form="json", is_active=False)
    assert restore_commands() == ["manage.py restore_copies Ended", "manage.py restore_copies Nightly"]
    end_policy(ended, actor=Actor.system())
    copy(ended)
    assert restore_commands() == ["manage.py restore_copies Nightly"]
    assert kept.pk != ended.pk
