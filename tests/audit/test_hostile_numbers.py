"""Numbers that no page of ours wrote."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.accounts.models import User

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


@pytest.mark.parametrize("before", ["9" * 5000, "9" * 30, "-1", "\u00b2", "nothing"])
def test_a_number_that_is_none_verifies_from_the_newest_entry_on(before: str, client: Client) -> None:
    eve = User.objects.create_user(email="eve@example.org", password=None)
    eve.groups.add(Group.objects.get(name="auditors"))
    client.force_login(eve)
    assert client.post("/audit/verify/", {"before": before}).status_code == 200
