"""Who people are, what they are known by, and what they choose."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from apps.accounts.models import User
from apps.audit.events import Event
from apps.audit.models import Entry
from apps.audit.selectors import details_of
from apps.keys.models import Key
from apps.records import services, subjects
from apps.records.errors import IdentityTaken, SubjectFrozen, SubjectNotFound
from apps.records.models import Identity, Subject
from tests.records.conftest import by

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


def account(email: str, *, verified: bool = True) -> User:
    user = User.objects.create_user(email, "a long password")
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


@pytest.mark.parametrize("spelling", ["ada@example.org", "  ADA@Example.org ", "Ａda@example.org"])
def test_a_person_is_found_by_any_spelling_of_the_address(ada: Subject, ben: Subject, spelling: str) -> None:
    assert subjects.find_subject(spelling) == ada
    assert subjects.find_subject(str(ada.pk)) == subjects.find_subject(ada.pk) == ada


@pytest.mark.parametrize(
    "value", ["", "carl@example.org", "not an id", "3f0c7a52-6f0f-4a8e-9d57-0d6c3a1b7e11", uuid.UUID(int=7)]
)
def test_nobody_is_found_by_anything_else(ada: Subject, value: Any) -> None:
    with pytest.raises(SubjectNotFound):
        subjects.find_subject(value)


def test_identities_are_sealed_under_the_persons_key_and_open_again(ada: Subject) -> None:
    subjects.add_identity(ada, "user_id", "User-42", actor=by(ada))
    subjects.add_identity(ada, "user_id", "User-42", actor=by(ada))
    assert subjects.identities_of(ada) == [("email", "ada@example.org"), ("user_id", "User-42")]
    assert subjects.identity_of(ada).of_kind("user_id") == ["User-42"]
    assert subjects.find_by_identity("user_id", "User-42") == [ada]
    assert subjects.find_by_identity("user_id", "user-42") == []  # ids differ in upper and lower case
    assert all(b"42" not in bytes(row.sealed) for row in Identity.objects.all())
    assert Entry.objects.filter(event=Event.IDENTITY_ADDED, about=ada.handle).count() == 1


def test_an_address_belongs_to_one_person_and_a_name_may_be_shared(ada: Subject, ben: Subject) -> None:
    with pytest.raises(IdentityTaken):
        subjects.add_identity(ben, "email", "Ada@example.org", actor=by(ben))
    for subject in (ada, ben):
        subjects.add_identity(subject, "name", "Sam Lee", actor=by(subject))
    assert subjects.find_by_identity("name", "sam lee") == sorted([ada, ben], key=lambda one: one.pk)
    keys_before = Key.objects.filter(kind="subject").count()
    with pytest.raises(IdentityTaken):
        subjects.create_subject(emails=["ben@example.org"])
    assert Key.objects.filter(kind="subject").count() == keys_before  # the new key went with it


def test_an_identity_can_be_forgotten(ada: Subject) -> None:
    row = subjects.add_identity(ada, "phone", "+49 30 1234", actor=by(ada))
    subjects.remove_identity(ada, row.pk, actor=by(ada))
    subjects.remove_identity(ada, row.pk, actor=by(ada))
    assert subjects.find_by_identity("phone", "+49 30 1234") == []
    assert Entry.objects.filter(event=Event.IDENTITY_REMOVED).count() == 1


def test_a_new_sign_in_gets_a_person_of_its_own_once() -> None:
    user = account("cleo@example.org")
    subject = subjects.subject_for(user)
    assert subjects.subject_for(user) == subject
    assert subjects.identities_of(subject) == [("email", "cleo@example.org")]
    assert Subject.objects.count() == 1


def test_a_proven_address_joins_a_sign_in_to_what_was_imported_for_it(ada: Subject) -> None:
    assert subjects.subject_for(account("ada@example.org")) == ada
    ada.refresh_from_db()
    assert ada.account is not None and Subject.objects.count() == 1


def test_a_person_is_found_by_an_address_that_was_added_to_the_sign_in_later() -> None:
    user = account("cleo@example.org")
    subject = subjects.subject_for(user)
    for email, verified in (("new@example.org", True), ("unproven@example.org", False)):
        EmailAddress.objects.create(user=user, email=email, verified=verified)
    assert subjects.find_subject("NEW@example.org") == subject
    with pytest.raises(SubjectNotFound):
        subjects.find_subject("unproven@example.org")


def test_an_address_that_is_not_proven_joins_nothing(ada: Subject) -> None:
    mallory = subjects.subject_for(account("ada@example.org", verified=False))
    assert mallory != ada and subjects.identities_of(mallory) == []
    ada.refresh_from_db()
    assert ada.account is None


def test_nobody_takes_over_a_person_who_signs_in_already(ada: Subject) -> None:
    assert subjects.subject_for(account("ada@example.org")) == ada
    second = User.objects.create_user("other@example.org", "a long password")
    EmailAddress.objects.create(user=second, email="ada+1@example.org", verified=True, primary=True)
    assert subjects.subject_for(second) != ada


def test_choices_are_kept_with_an_entry_each_and_none_when_nothing_changes(ada: Subject) -> None:
    for _twice in range(2):
        services.set_recording(ada, False, actor=by(ada))
        services.set_opt_outs(ada, training=True, sharing=False, actor=by(ada))
        services.set_retention(ada, 90, actor=by(ada))
    ada.refresh_from_db()
    assert (ada.is_recording_allowed, ada.opted_out_of_training, ada.opted_out_of_sharing) == (False, True, False)
    assert ada.retention_days == 90
    entries = Entry.objects.filter(about=ada.handle).order_by("id")
    assert [details_of(entry) for entry in entries if entry.event != Event.SUBJECT_CREATED] == [
        {"recording": False}, {"opted_out_of_training": True, "opted_out_of_sharing": False}, {"days": 90},
    ]  # fmt: skip
    services.set_retention(ada, None, actor=by(ada))
    subjects.freeze_subject(ada.pk)
    with pytest.raises(SubjectFrozen):
        services.set_recording(ada, True, actor=by(ada))
