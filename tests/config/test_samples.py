"""Sample people: made on the sample site only, once, with conversations that came in as real ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import User
from apps.portal.management.commands import make_sample_people
from apps.portal.samples import people
from apps.portal.samples.people import PASSWORD, PEOPLE
from apps.records.models import Attachment, Conversation, Message


@pytest.mark.django_db(databases=["default", "keys"])
def test_they_are_refused_on_another_site(settings: Any) -> None:
    settings.SAMPLE_SITE = False
    with pytest.raises(CommandError, match="make run"):
        call_command("make_sample_people")
    assert not User.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_they_are_made_once_and_can_sign_in(settings: Any, tmp_path: Path, client: Client) -> None:
    settings.SAMPLE_SITE = True
    settings.DATA_DIR = tmp_path
    call_command("make_sample_people", verbosity=0)
    counts = [model.objects.count() for model in (User, Conversation, Message, Attachment)]
    assert counts[0] == len(PEOPLE)
    assert counts[1] == 9
    assert counts[3] == 4
    call_command("make_sample_people", verbosity=0)
    assert [model.objects.count() for model in (User, Conversation, Message, Attachment)] == counts
    for person in PEOPLE:
        browser = Client()
        browser.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
        assert "_auth_user_id" in browser.session, person.name
        assert person.email in (tmp_path / "sample-people.txt").read_text()


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_who_was_erased_is_made_again_only_when_asked_for(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    settings.SAMPLE_SITE, settings.DATA_DIR = True, tmp_path
    monkeypatch.setattr(make_sample_people, "PEOPLE", [PEOPLE[2], PEOPLE[5]])  # without conversations: quick
    monkeypatch.setattr(people, "PEOPLE", [PEOPLE[2], PEOPLE[5]])
    call_command("make_sample_people", verbosity=0)
    User.objects.filter(email=PEOPLE[5].email).delete()
    call_command("make_sample_people", verbosity=0)
    assert list(User.objects.values_list("email", flat=True)) == [PEOPLE[2].email]
    said = (tmp_path / "sample-people.txt").read_text()
    assert PEOPLE[5].email not in said
    assert "make_sample_people --again" in said
    call_command("make_sample_people", "--again", verbosity=0)
    assert User.objects.count() == 2
    assert "--again" not in (tmp_path / "sample-people.txt").read_text()
    User.objects.all().delete()  # a new database beside an old folder
    call_command("make_sample_people", verbosity=0)
    assert User.objects.count() == 2
