"""A subject key gives way to a new one: imports and identities stay readable, also to who holds a row read before."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.audit.actors import Actor
from apps.keys import services as keys
from apps.keys.errors import KeyDestroyed, NotReplaceable
from apps.records import keyring, subjects
from apps.records import services as records
from apps.records.errors import ImportNotFound
from apps.records.models import Identity, Import, Subject
from apps.records.selectors.lists import import_of, imports_of
from apps.records.services import imports, moving
from apps.sealing.errors import DecryptionError
from tests.records.conftest import by

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

LINES = b'{"messages": [{"role": "user", "content": "hello"}]}\nnot a line\n'


def replace(subject: Subject) -> keys.Replacement:
    return keys.replace_key(Subject.objects.get(pk=subject.pk).key_id, actor=Actor.system())


def upload(subject: Subject) -> Import:
    return records.start_import(subject, SimpleUploadedFile("talks.jsonl", LINES), actor=by(subject))


@pytest.fixture
def old_row(ada) -> Subject:
    """Ada's row as a worker read it before her key was replaced."""
    return Subject.objects.get(pk=ada.pk)


@pytest.mark.slow
def test_what_lies_under_the_key_itself_is_sealed_anew_and_reads_the_same(ada, ben, old_row, storage, monkeypatch):
    monkeypatch.setattr(moving, "BATCH", 1)
    for _ in range(2):
        records.run_import(upload(ada).pk)
    subjects.add_identity(ada, "phone", "+49 30 123", actor=by(ada))
    known, seen = subjects.identities_of(ada), imports_of(ada)
    reports = [import_of(ada, one.id).skipped for one in seen]
    assert all(reports)
    before = {row.pk: bytes(row.sealed) for row in Identity.objects.all()}
    done = replace(ada)
    for subject in (Subject.objects.get(pk=ada.pk), old_row):
        assert subjects.identities_of(subject) == known
        assert imports_of(subject) == seen
        assert [import_of(subject, one.id).skipped for one in seen] == reports
        assert subject.key_id == done.new
    changed = {row.subject_id for row in Identity.objects.all() if bytes(row.sealed) != before[row.pk]}
    assert changed == {ada.pk}
    assert subjects.identities_of(ben) == [("email", "ben@example.org")]


def test_who_holds_the_old_row_writes_under_the_new_key(ada, old_row, storage):
    replace(ada)
    subjects.add_identity(old_row, "phone", "+49 30 123", actor=by(ada))
    stale = Subject.objects.get(pk=ada.pk)
    replace(ada)
    row = upload(stale)
    replace(ada)
    records.run_import(row.pk)
    now = Subject.objects.get(pk=ada.pk)
    assert ("phone", "+49 30 123") in subjects.identities_of(now)
    assert [one.name for one in imports_of(now)] == ["talks.jsonl"]
    assert import_of(now, row.pk).skipped


@pytest.mark.parametrize("too_large", [False, True])
def test_a_replacement_between_sealing_and_writing_is_seen_under_the_lock(ada, storage, monkeypatch, too_large):
    real, calls = imports._seal_name, []

    def seal_then_replace(*arguments):
        sealed = real(*arguments)
        calls.append(sealed)
        if len(calls) == 1:
            replace(ada)
        return sealed

    monkeypatch.setattr(imports, "_seal_name", seal_then_replace)
    if too_large:
        monkeypatch.setattr(imports, "MAX_UPLOAD_BYTES", 1)
    upload(Subject.objects.get(pk=ada.pk))
    assert len(calls) == 2
    assert [one.name for one in imports_of(ada)] == ["talks.jsonl"]


def test_a_replacement_before_the_key_of_an_upload_is_made_loses_nothing(ada, storage, monkeypatch):
    real = imports.create_keys_below

    def replace_first(*arguments):
        replace(ada)
        return real(*arguments)

    monkeypatch.setattr(imports, "create_keys_below", replace_first)
    row = upload(Subject.objects.get(pk=ada.pk))
    assert [one.name for one in imports_of(ada)] == ["talks.jsonl"]
    records.run_import(row.pk)
    assert import_of(ada, row.pk).skipped


def test_a_replacement_while_an_identity_is_added_is_seen_under_the_lock(ada, monkeypatch):
    real, calls = subjects.open_subject_key, []

    def open_then_replace(subject):
        key = real(subject)
        calls.append(key)
        if len(calls) == 1:
            replace(ada)
        return key

    monkeypatch.setattr(subjects, "open_subject_key", open_then_replace)
    subjects.add_identity(Subject.objects.get(pk=ada.pk), "phone", "+49 30 123", actor=by(ada))
    assert len(calls) == 2
    assert ("phone", "+49 30 123") in subjects.identities_of(ada)


def test_a_frozen_person_is_not_moved_and_a_stranger_is_nobody(ada):
    made = keys.create_key(keys.KeyKind.SUBJECT, owner=ada.pk)
    subjects.freeze_subject(ada.pk)
    with pytest.raises(NotReplaceable):
        moving.move_subject_key(ada.pk, ada.key_id, made.id, even_if_frozen=False)
    assert moving.move_subject_key(uuid.uuid4(), ada.key_id, made.id, even_if_frozen=True) == ""
    assert moving.move_subject_key(ada.pk, ada.key_id, made.id, even_if_frozen=True) == ada.handle
    assert moving.move_subject_key(ada.pk, ada.key_id, made.id, even_if_frozen=False) == ada.handle


def test_an_erased_persons_key_stays_destroyed_for_every_reader(ada, old_row):
    keys.erase_keys([ada.key_id], about=ada.handle, actor=Actor.system())
    with pytest.raises(KeyDestroyed):
        keyring.open_subject_key(old_row)
    Subject.objects.all().delete()
    with pytest.raises(KeyDestroyed):
        keyring.create_keys_below(old_row, keys.KeyKind.CONVERSATION, [uuid.uuid4()])


def test_a_value_that_does_not_open_is_not_read_for_ever(ada):
    Identity.objects.update(sealed=b"\x01" * 60)
    with pytest.raises(DecryptionError):
        subjects.identities_of(ada)


def test_an_unknown_import_is_not_found(ada):
    with pytest.raises(ImportNotFound):
        import_of(ada, uuid.uuid4())
