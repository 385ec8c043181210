"""Requests stay found by the address they were filed with while the key of its index is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.audit.services import sequence
from apps.keys import services as keys
from apps.keys.models import Key
from apps.keys.selectors import tombstones_among
from apps.records.errors import IdentityTaken
from apps.records.indexing import rotating
from apps.records.models import IndexKey, Subject
from apps.records.subjects import create_subject, find_subject
from apps.requests import selectors
from apps.requests.models import PrivacyRequest
from apps.requests.upkeep import empty_record
from tests.requests.conftest import filed, staff
from tests.restoring import Backup

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
NAME = "identity-email"


@pytest.fixture(autouse=True)
def _own_master_keys(settings: Any, tmp_path: Any) -> None:
    settings.MASTER_KEY_DIR = tmp_path / "master-keys"


def test_they_are_found_in_the_middle_and_after(ada: Subject, ben: Subject) -> None:
    first = filed(ada)
    old = IndexKey.objects.get(name=NAME).key_id
    rotating._begin(NAME, Actor.system())
    second = filed(ada)
    assert {one.email_index_number for one in PrivacyRequest.objects.all()} == {1, 2}
    for _again in range(2):
        assert set(selectors.by_email("ADA@example.org ")) == {first, second}
        assert not selectors.by_email("ben@example.org")
        rotating.finish_rotations()
    assert {one.email_index_number for one in PrivacyRequest.objects.all()} == {2}
    assert tombstones_among([old])


def test_staff_see_all_of_them_in_the_middle(ada: Subject, client: Client) -> None:
    first = filed(ada)
    rotating._begin(NAME, Actor.system())
    second = filed(ada)
    client.force_login(staff("cleo@larkspur.example", "compliance"))
    found = client.post(
        "/admin/requests/privacyrequest/find/", {"words": "ada@example.org", "purpose": "review"}, follow=True
    )
    page = found.content.decode()
    assert first.reference in page and second.reference in page


def test_a_request_whose_retention_is_over_holds_no_key(ada: Subject) -> None:
    filed(ada)
    old = IndexKey.objects.get(name=NAME).key_id
    for request in PrivacyRequest.objects.all():
        empty_record(request)
    rotating.rotate_index(NAME, actor=Actor.system())
    assert tombstones_among([old])


@pytest.mark.slow
@pytest.mark.starts
@pytest.mark.parametrize("what", ["default", "keys", "default keys"])
def test_a_backup_from_before_a_rotation_is_brought_under_the_key_that_lives(
    ada: Subject, ben: Subject, tmp_path: Path, what: str
) -> None:
    first, old = filed(ada), IndexKey.objects.get(name=NAME).key_id
    sequence()
    backup = Backup(tmp_path / "backup")
    call_command("rotate_blind_index")
    keys.erase_keys(
        [ben.key_id], about=ben.handle, actor=Actor.system()
    )  # so that the keys database alone is noticed, too
    sequence()
    assert quarantine.reason() == ""
    backup.restore(*what.split())
    assert quarantine.reason() != ""
    call_command("replay_tombstones")
    assert quarantine.reason() == ""
    assert find_subject("ada@example.org") == ada
    assert list(selectors.by_email("ada@example.org")) == [first]
    with pytest.raises(IdentityTaken):
        create_subject(emails=["ada@example.org"])
    assert tombstones_among([old])
    alive = Key.objects.filter(kind="blind_index", name__startswith=NAME, destroyed_at=None)
    assert list(alive.values_list("pk", flat=True)) == [IndexKey.objects.get(name=NAME).key_id]
