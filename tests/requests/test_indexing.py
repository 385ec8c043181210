"""Requests stay found by the address they were filed with while the key of its index is changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.audit.actors import Actor
from apps.keys.selectors import tombstones_among
from apps.records.indexing import rotating
from apps.records.models import IndexKey, Subject
from apps.requests import selectors
from apps.requests.models import PrivacyRequest
from apps.requests.upkeep import empty_record
from tests.requests.conftest import filed, staff

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
