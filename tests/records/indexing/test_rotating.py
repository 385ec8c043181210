"""The keys of blind indexes are changed while the site works: everybody stays found, nobody comes twice, the old key goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as site
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from apps.audit.actors import Actor
from apps.audit.choices import BLIND_INDEXES
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed
from apps.keys.models import Key
from apps.keys.selectors import tombstones_among
from apps.keys.services.replaying import bury_erased
from apps.records import services, subjects, suppression
from apps.records.errors import IdentityTaken, SubjectSuppressed
from apps.records.indexing import ring as rings
from apps.records.indexing import rotating
from apps.records.indexing.ring import CONVERSATION, SUPPRESSION, open_ring
from apps.records.models import Conversation, Forgotten, Identity, IndexKey, Subject, Suppressed
from apps.records.reports import ImportReport
from apps.records.services import deleting
from tests.keys.crashing import die, each_crash
from tests.records.conftest import by, conversation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

SYSTEM = Actor.system()
EMAIL = "identity-email"


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path, storage: Path) -> None:
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"


def give(subject: Subject, *names: str) -> ImportReport:
    parsed = [conversation(name, f"question {name}", "answer") for name in names]
    return services.store_conversations(subject, parsed, actor=by(subject))


def key_of(name: str) -> UUID:
    return IndexKey.objects.get(name=name, retired_at__isnull=True).key_id


def rotate(name: str) -> rotating.Rotated:
    return rotating.rotate_index(name, actor=SYSTEM)


@pytest.fixture
def begun(ada: Subject, ben: Subject) -> Callable[[str], None]:
    """Begin a rotation, as far as a crash directly after the beginning leaves it."""

    def begin(name: str) -> None:
        assert rotating._begin(name, SYSTEM)

    return begin


def test_everybody_is_found_in_the_middle_and_at_the_end_and_the_old_key_is_gone(
    ada: Subject, ben: Subject, begun: Callable[[str], None]
) -> None:
    subjects.add_identity(ada, "user_id", "Ada-7", actor=SYSTEM)
    give(ada, "one", "two")
    before = {name: key_of(name) for name in (EMAIL, "identity-user_id", CONVERSATION)}
    wrapped = [bytes(row.wrapped or b"") for row in Key.objects.filter(pk__in=before.values())]
    for step in (lambda name: None, begun, rotate):
        for name in before:
            step(name)
        assert subjects.find_subject("ADA@example.org ") == ada
        assert subjects.find_by_identity("user_id", "Ada-7") == [ada]
        assert subjects.find_by_identity("user_id", "ada-7") == []
        assert subjects.find_subject("ben@example.org") == ben
        report = give(ada, "one", "two")
        assert (report.conversations, report.already_held) == (0, 2)
    assert set(tombstones_among(list(before.values()))) == set(before.values())
    assert all(key_of(name) != before[name] for name in before)
    assert not Identity.objects.exclude(index_number=2).exists()
    there = IndexKey.objects.filter(name__in=before).values_list("number", flat=True)
    assert list(there) == [2] * len(before)
    _assert_gone_from_the_key_store(wrapped)


def _assert_gone_from_the_key_store(wrapped: list[bytes]) -> None:
    if connections["keys"].vendor == "sqlite":
        path = Path(site.DATABASES["keys"]["NAME"])
        raw = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
        living = bytes(Key.objects.filter(destroyed_at=None)[0].wrapped or b"")
        assert living in raw  # the control
        assert not any(one in raw for one in wrapped)


def test_what_was_written_in_the_middle_stands_under_the_new_key(ada: Subject, begun: Callable[[str], None]) -> None:
    give(ada, "one")
    begun(CONVERSATION)
    begun(EMAIL)
    give(ada, "two")
    subjects.create_subject(emails=["carla@example.org"])
    assert sorted(Conversation.objects.values_list("index_number", flat=True)) == [1, 2]
    assert sorted(Identity.objects.values_list("index_number", flat=True)) == [1, 1, 2]
    assert rotate(EMAIL) == rotating.Rotated(EMAIL, 2, begun=False, renewed=2, destroyed=1)


def test_the_note_of_what_was_deleted_stands_under_the_key_that_its_row_stands_under_by_then(ada: Subject) -> None:
    give(ada, "one")
    Conversation.objects.update(source=deleting.BY_SCHEDULE)
    listed = list(Conversation.objects.all())
    assert rotate(CONVERSATION).renewed == 1
    deleting._keep_forgotten(ada.pk, listed)
    row, note = Conversation.objects.get(), Forgotten.objects.get()
    assert (note.index_number, bytes(note.external_index)) == (2, bytes(row.external_index))


def test_one_address_is_of_one_person_under_both_keys_together(
    ada: Subject, ben: Subject, begun: Callable[[str], None]
) -> None:
    begun(EMAIL)
    for _again in range(2):  # Ada's stands under the old key, and then under the new one
        with pytest.raises(IdentityTaken):
            subjects.add_identity(ben, "email", "ada@example.org", actor=SYSTEM)
        with pytest.raises(IdentityTaken):
            subjects.create_subject(emails=["ADA@example.org"])
        assert subjects.add_identity(ada, "email", "ada@example.org", actor=SYSTEM).subject_id == ada.pk
        rotate(EMAIL)
    assert Identity.objects.count() == 2
    subjects.add_identity(ben, "email", "ben@example.com", actor=SYSTEM)  # the control: what is free can be had


def test_a_writer_who_opened_the_keys_before_a_rotation_writes_under_the_new_one(
    ada: Subject, ben: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open_ring

    def opened_too_early(name: str) -> rings.Ring:
        ring = real(name)
        monkeypatch.undo()
        rotating._begin(name, SYSTEM)
        return ring

    monkeypatch.setattr(subjects, "open_ring", opened_too_early)
    subjects.add_identity(ben, "email", "b@example.com", actor=SYSTEM)
    monkeypatch.setattr(subjects, "open_ring", opened_too_early)
    with pytest.raises(IdentityTaken):
        subjects.create_subject(emails=["ada@example.org"])
    monkeypatch.setattr("apps.records.services.storing.open_ring", opened_too_early)
    assert give(ada, "one").conversations == 1
    assert Conversation.objects.get().index_number == 2
    assert Identity.objects.get(index_number=2).subject_id == ben.pk


def test_a_look_up_that_began_before_a_rotation_still_finds(ada: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open_ring

    def opened_too_early(name: str) -> rings.Ring:
        ring = real(name)
        monkeypatch.undo()
        rotate(name)
        return ring

    monkeypatch.setattr(subjects, "open_ring", opened_too_early)
    assert subjects.find_subject("ada@example.org") == ada


@pytest.mark.thorough
def test_people_and_conversations_that_come_while_keys_are_changed_come_once(ada: Subject) -> None:
    """Two imports of the same, two sign-ups of the same, and rotations, all at once."""
    give(ada, "zero")
    failures: list[BaseException] = []

    def at_once(work: Callable[[], object]) -> Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  (shown by the test)
                failures.append(error)
            finally:
                connections.close_all()

        thread = Thread(target=run)
        thread.start()
        return thread

    def sign_up() -> None:
        for number in range(4):
            try:
                subjects.create_subject(emails=[f"{number}@example.org"])
            except IdentityTaken:
                assert subjects.find_subject(f"{number}@example.org")

    def bring_in() -> None:
        for number in range(4):
            give(ada, f"c{number}")

    def change() -> None:
        for _again in range(2):
            rotate(CONVERSATION)
            rotate(EMAIL)

    for thread in [at_once(work) for work in (sign_up, sign_up, bring_in, bring_in, change)]:
        thread.join()
    assert not failures
    assert Identity.objects.count() == 5
    assert Conversation.objects.filter(subject=ada, erasing_at=None).count() == 5
    for number in range(4):
        assert subjects.find_subject(f"{number}@example.org")
        assert give(ada, f"c{number}").already_held == 1


@pytest.mark.thorough
def test_no_crash_loses_anybody_or_leaves_a_key_behind(ada: Subject, ben: Subject) -> None:
    crashes = begun = 0
    for _at in each_crash(lambda: rotate(EMAIL), die, step=7):
        crashes += 1
        begun += IndexKey.objects.filter(retired_at__isnull=False).exists()
        assert subjects.find_subject("ada@example.org") == ada
        rotating.finish_rotations()
        assert subjects.find_subject("ben@example.org") == ben
        assert IndexKey.objects.get(name=EMAIL).ended_at is None
    rotate(EMAIL)
    assert crashes >= 6 and begun >= 3
    alive = Key.objects.filter(kind="blind_index", name__startswith=EMAIL, destroyed_at=None)
    assert list(alive.values_list("pk", flat=True)) == [key_of(EMAIL)]


def test_what_nobody_can_index_anew_keeps_its_key_until_it_goes(
    ada: Subject, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SUPPRESSION_DAYS = 30
    suppression.suppress([("email", "gone@example.org")])
    give(ada, "one")
    Conversation.objects.update(source="sync")
    services.delete_all_conversations(ada, actor=by(ada))
    old = {name: key_of(name) for name in (SUPPRESSION, CONVERSATION)}
    call_command("rotate_blind_index", *old)
    said = capsys.readouterr().out
    assert said.count("1 rows stay under an earlier key, which is kept for them alone") == 2
    suppression.suppress([("email", "later@example.org")])
    for email in ("gone@example.org", "later@example.org"):
        with pytest.raises(SubjectSuppressed):
            subjects.create_subject(emails=[email])
    subjects.create_subject(emails=["other@example.org"])  # the control
    assert not tombstones_among(list(old.values()))
    rotating.finish_rotations()  # does no harm
    Suppressed.objects.all().update(until=timezone.now().date() - timedelta(days=1))
    suppression.forget_expired()
    Forgotten.objects.all().delete()
    rotating.finish_rotations()
    assert set(tombstones_among(list(old.values()))) == set(old.values())


def test_the_log_says_when_a_key_comes_and_goes_and_not_of_whose_kind(ada: Subject) -> None:
    old = key_of(EMAIL)
    rotate(EMAIL)
    told = {entry.event: details_of(entry) for entry in Entry.objects.filter(event__startswith="blind_index.")}
    assert told == {
        Event.BLIND_INDEX_BEGUN: {"index": "identity", "key": str(key_of(EMAIL))},
        Event.BLIND_INDEX_ENDED: {"index": "identity", "key": str(old)},
    }
    intent = details_of(Entry.objects.filter(event=Event.KEYS_INTENDED).latest("id"))
    assert (intent["erased"], intent["reason"]) == ([str(old)], "rotated")
    assert all(rotating._word(column.names) in BLIND_INDEXES.values for column in rotating._columns())


def test_the_command_says_what_it_does_and_knows_the_indexes(ada: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="phone is not in use"):
        call_command("rotate_blind_index", "phone")
    call_command("rotate_blind_index")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "identity-email: 1 of 1 rows",
        "identity-email: key 2 begun; 1 rows brought under it, 1 earlier keys destroyed.",
    ]
    call_command("rotate_blind_index", "identity-email")
    assert "key 3 begun" in capsys.readouterr().out


def test_rows_whose_key_is_gone_hold_the_old_key_until_their_erasure_has_ended(ada: Subject, ben: Subject) -> None:
    keys.erase_keys([ada.key_id], about=ada.handle, actor=SYSTEM)
    old = key_of(EMAIL)
    with pytest.raises(CommandError, match="an erasure is under way") as raised:
        call_command("rotate_blind_index", EMAIL)
    assert raised.value.returncode == 4
    assert not tombstones_among([old])
    Identity.objects.filter(subject=ada).delete()
    rotating.finish_rotations()
    assert tombstones_among([old])
    assert subjects.find_subject("ben@example.org") == ben


class TestAfterARestore:
    def test_records_from_before_a_rotation_are_indexed_under_the_key_that_lives(self, ada: Subject) -> None:
        rows = list(IndexKey.objects.all()), list(Identity.objects.all())
        rotate(EMAIL)
        self._put_back(*rows)
        with pytest.raises(KeyDestroyed):
            subjects.find_subject("ada@example.org")
        assert rotating.replace_lost_keys(actor=SYSTEM) == 0
        assert subjects.find_subject("ada@example.org") == ada
        assert Key.objects.filter(kind="blind_index", name__startswith=EMAIL, destroyed_at=None).count() == 1

    def test_of_two_rotations_that_the_records_do_not_know_no_key_stays(self, ada: Subject) -> None:
        rows = list(IndexKey.objects.all()), list(Identity.objects.all())
        rotate(EMAIL)
        rotate(EMAIL)
        self._put_back(*rows)
        rotating.replace_lost_keys(actor=SYSTEM)
        alive = Key.objects.filter(kind="blind_index", name__startswith=EMAIL, destroyed_at=None)
        assert list(alive.values_list("pk", flat=True)) == [key_of(EMAIL)]
        assert rotate(EMAIL).number == 3
        assert subjects.find_subject("ada@example.org") == ada

    def test_a_key_that_is_lost_with_the_key_database_is_made_anew(self, ada: Subject) -> None:
        old = bytes(Key.objects.get(pk=key_of(EMAIL)).wrapped or b"")
        assert old
        rotate(EMAIL)
        Key.objects.filter(pk=key_of(EMAIL)).delete()  # the backup of keys is from before the rotation
        bury_erased()
        rotating.replace_lost_keys(actor=SYSTEM)
        assert subjects.find_subject("ada@example.org") == ada
        with pytest.raises(IdentityTaken):
            subjects.create_subject(emails=["ada@example.org"])

    def test_entries_that_nobody_can_index_anew_go_and_are_counted(self, settings: Any) -> None:
        settings.SUPPRESSION_DAYS = 30
        suppression.suppress([("email", "gone@example.org"), ("user_id", "7")])
        Key.objects.filter(pk=key_of(SUPPRESSION)).delete()
        assert rotating.replace_lost_keys(actor=SYSTEM) == 2
        assert rotating.replace_lost_keys(actor=SYSTEM) == 0
        subjects.create_subject(emails=["gone@example.org"])

    @staticmethod
    def _put_back(index_keys: list[IndexKey], identities: list[Identity]) -> None:
        IndexKey.objects.all().delete()
        IndexKey.objects.bulk_create(index_keys)
        for row in identities:
            row.save()
