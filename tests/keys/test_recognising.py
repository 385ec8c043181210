from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connections, transaction

from apps.audit import quarantine
from apps.audit.errors import NotSigned, Quarantined
from apps.audit.models import Entry, SiteState
from apps.audit.quarantine import Reason
from apps.audit.services import sequence
from apps.keys import intents, services
from apps.keys.errors import InQuarantine
from apps.keys.models import Installation, Key
from apps.keys.recognising import check_keys

pytestmark = [pytest.mark.starts, pytest.mark.django_db(transaction=True, databases=["default", "keys"])]


@pytest.fixture
def sqlite_only() -> None:
    if connections["default"].vendor != "sqlite":
        pytest.skip("copies files of SQLite; tests/journeys/test_restore.py does the same on PostgreSQL")


def copy_of(alias: str, path: Path) -> Path:
    """Keep a backup of a database."""
    with sqlite3.connect(path) as target:
        connections[alias].ensure_connection()
        connections[alias].connection.backup(target)
    return path


def put_back(alias: str, path: Path) -> None:
    """Restore a backup, as somebody does with all processes stopped; the next question is that of a new process."""
    with sqlite3.connect(path) as source:
        connections[alias].ensure_connection()
        source.backup(connections[alias].connection)
    quarantine.forget()


@pytest.fixture
def site(sqlite_only: None, ada, ben) -> None:
    """A site that has started, with a log."""
    sequence()
    assert quarantine.reason() == ""


def test_a_new_site_writes_down_to_which_installation_it_belongs(ada) -> None:
    assert quarantine.reason() == ""
    assert SiteState.objects.get().installation == Installation.objects.get().pk


def test_a_healthy_site_starts_again_and_reads_only_what_is_new(ada, ben, about, actor) -> None:
    services.erase_keys([ada.id], about=about, actor=actor)
    sequence()
    quarantine.forget()
    assert quarantine.reason() == ""
    size = Installation.objects.get().log_size
    assert size == Entry.objects.count()
    services.erase_keys([ben.id], about=about, actor=actor)
    sequence()
    quarantine.forget()
    assert quarantine.reason() == ""
    assert Installation.objects.get().log_size == Entry.objects.count() > size


def test_records_that_are_older_than_the_published_log_are_noticed(site, ada, about, actor, tmp_path: Path) -> None:
    backup = copy_of("default", tmp_path / "records")
    services.erase_keys([ada.id], about=about, actor=actor)
    put_back("default", backup)
    assert quarantine.reason() == Reason.LOG_BEHIND


def test_records_that_are_older_than_the_keys_are_noticed_without_tiles(
    site, ada, about, actor, tmp_path: Path, settings
) -> None:
    backup = copy_of("default", tmp_path / "records")
    services.erase_keys([ada.id], about=about, actor=actor)
    put_back("default", backup)
    shutil.rmtree(settings.TILES_DIR)
    assert quarantine.reason() == Reason.LOG_BEHIND


def test_keys_that_are_restored_alone_are_noticed(site, ada, ben, about, actor, tmp_path: Path) -> None:
    backup = copy_of("keys", tmp_path / "keys")
    services.erase_keys([ada.id], about=about, actor=actor)
    sequence()
    quarantine.forget()
    assert quarantine.reason() == ""
    put_back("keys", backup)
    assert Key.objects.get(pk=ada.id).destroyed_at is None
    assert quarantine.reason() == Reason.TOMBSTONES_MISSING
    with pytest.raises(InQuarantine):
        services.open_key(ada.id)
    with pytest.raises(InQuarantine):
        services.open_key(ben.id)


def test_keys_that_are_restored_before_a_destruction_of_another_process_are_noticed(
    site, ada, ben, about, actor, tmp_path: Path
) -> None:
    """The intent was seen at a start, its outcome came later."""
    with transaction.atomic():
        intent = intents.intend_destruction([ada.id], about=about, actor=actor)
    sequence()
    quarantine.forget()
    assert quarantine.reason() == ""  # a destruction under way is no restore
    backup = copy_of("keys", tmp_path / "keys")
    result = services.destroy_keys([ada.id], intent=intent)
    with transaction.atomic():
        services.record_destruction(intent, result, actor=actor)
    sequence()
    put_back("keys", backup)
    assert quarantine.reason() == Reason.TOMBSTONES_MISSING


def test_an_empty_keys_database_is_noticed_before_it_is_filled(site, ada) -> None:
    Key.objects.all().delete()
    Installation.objects.all().delete()
    quarantine.forget()
    assert quarantine.reason() == Reason.KEYS_LOST


def test_a_keys_database_of_another_installation_is_noticed(site, ada) -> None:
    Installation.objects.update(id=uuid4())
    quarantine.forget()
    assert quarantine.reason() == Reason.OTHER_INSTALLATION


def test_nothing_is_signed_in_quarantine_but_by_the_replay(site, ada, about, actor, person: Callable) -> None:
    quarantine.enter(Reason.LOG_BEHIND)
    with pytest.raises(Quarantined), transaction.atomic():
        quarantine.refuse()
    with pytest.raises(NotSigned, match="quarantine"):
        services.erase_keys([ada.id], about=about, actor=actor)
    assert not Key.objects.filter(destroyed_at__isnull=False).exists()
    with quarantine.replaying():
        services.erase_keys([ada.id], about=about, actor=actor)
    assert Key.objects.filter(destroyed_at__isnull=False).count() == 1
    assert quarantine.reason() == Reason.LOG_BEHIND
    assert check_keys() == ""


def test_a_process_that_starts_beside_another_one_does_not_take_it_for_a_restore(
    site, ada, about, actor, monkeypatch
) -> None:
    assert check_keys() == ""
    real = quarantine.state
    others = iter([True])

    def beside() -> SiteState:
        if next(others, False):  # another process notes more of the log in both databases
            services.erase_keys([ada.id], about=about, actor=actor)
            sequence()
            assert check_keys() == ""
        return real()

    monkeypatch.setattr(quarantine, "state", beside)
    assert check_keys() == ""
    assert Installation.objects.get().log_size == SiteState.objects.get().keys_seen == Entry.objects.count()
