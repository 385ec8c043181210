"""Suppression, where it is on: who was erased is not brought in again by others, and comes back by themselves at any time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.keys import services as keys
from apps.keys.models import Key
from apps.mail.services import send_due_letters
from apps.records import suppression
from apps.records.errors import SubjectSuppressed
from apps.records.models import Subject, Suppressed
from apps.records.subjects import create_subject
from apps.records.tasks import nightly
from apps.requests import selectors
from tests.accounts.conftest import PASSWORD, link_in
from tests.requests.conftest import ADA, approved, run, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

DAYS = 90


@pytest.fixture
def erased(ada: Subject, ben: Subject, settings: Any) -> Any:
    """Ada was erased while the list was on."""
    settings.SUPPRESSION_DAYS = DAYS
    return run(approved(ada))


def bring_in(email: str) -> Subject:
    return create_subject(emails=[email])


@pytest.mark.slow
def test_others_cannot_bring_in_again_who_was_erased(erased: Any, tmp_path: Path) -> None:
    for spelling in ("ada@example.org", " ADA@example.org "):
        with pytest.raises(SubjectSuppressed):
            bring_in(spelling)
    (tmp_path / "export.txt").write_text("You: hello\n")
    with pytest.raises(CommandError, match="was erased"):
        call_command("import_conversations", str(tmp_path / "export.txt"), subject="ada@example.org")
    assert bring_in("carol@example.org").pk  # a control


@pytest.mark.slow
def test_off_by_default_nothing_is_noted(ada: Subject) -> None:
    run(approved(ada))
    assert not Suppressed.objects.exists()
    assert not Key.objects.filter(kind=keys.KeyKind.SUPPRESSION).exists()
    assert bring_in("ada@example.org").pk


@pytest.mark.slow
def test_the_person_comes_back_by_themselves_and_leaves_the_list(erased: Any, client: Client) -> None:
    """They sign up on the page, with the letter that goes with it, as if nothing had been."""
    new = {"email": ADA, "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/accounts/signup/", new).headers["Location"] == "/accounts/confirm-email/"
    with pytest.raises(SubjectSuppressed):
        bring_in(ADA)  # nobody has proven yet that it was they
    mail.outbox.clear()
    send_due_letters()
    client.post(link_in(mail.outbox[-1], "confirm-email"))
    client.post("/accounts/login/", {"login": ADA, "password": PASSWORD})
    assert client.get("/privacy/").status_code == 200
    assert Subject.objects.get(account__email=ADA).pk
    assert not Suppressed.objects.exists()


@pytest.mark.slow
def test_the_receipt_says_what_stays_and_until_when(erased: Any, ben: Subject) -> None:
    [receipt] = selectors.receipts_of(erased)
    stays = selectors.receipt_content(receipt)["stays"]
    until = there(Suppressed.objects.first()).until
    assert until == timezone.now().date() + timedelta(days=DAYS)
    [told] = [one for one in stays if one["what"] == "suppression"]
    assert told["until"] == until.isoformat() and "keyed hash" in told["text"]


@pytest.mark.slow
def test_it_ends_on_its_day_and_when_it_is_switched_off(erased: Any, settings: Any) -> None:
    nightly()
    assert Suppressed.objects.count() == 1
    Suppressed.objects.update(until=timezone.localdate() - timedelta(days=1))
    assert bring_in("ada@example.org").pk  # its day has come, also before the schedule has
    nightly()
    assert not Suppressed.objects.exists()
    suppression.suppress([("email", "carol@example.org")])
    settings.SUPPRESSION_DAYS = 0
    assert bring_in("carol@example.org").pk
    nightly()
    assert not Suppressed.objects.exists()


def test_names_and_telephones_are_not_listed_and_ids_are(settings: Any, own_places: None) -> None:
    settings.SUPPRESSION_DAYS = DAYS
    values = [("name", "Ada"), ("phone", "030 1"), ("user_id", "u-1"), ("email", "ada@example.org"), ("email", " ")]
    assert suppression.suppress(values) == suppression.suppress(values) == 2
    with pytest.raises(SubjectSuppressed):
        suppression.refuse_suppressed([("user_id", "u-1")])
    suppression.refuse_suppressed([("user_id", "U-1"), ("name", "Ada")])
    suppression.refuse_suppressed([])


@pytest.mark.slow
def test_its_key_is_its_own(erased: Any) -> None:
    [key] = Key.objects.filter(kind=keys.KeyKind.SUPPRESSION)
    assert key.name == "identities"
    index = bytes(there(Suppressed.objects.first()).index)
    assert index != suppression.blind.index(keys.blind_index_key("identity-email"), "email", "ada@example.org")


def test_its_days_are_the_sites_own_and_not_those_of_greenwich(settings: Any, own_places: None) -> None:
    settings.SUPPRESSION_DAYS, settings.TIME_ZONE = DAYS, "Pacific/Kiritimati"  # 14 hours ahead
    there = datetime.now(ZoneInfo("Pacific/Kiritimati")).date()
    with timezone.override("Pacific/Pago_Pago"):  # who asks is a day behind
        suppression.suppress([("email", "carol@example.org")])
        assert Suppressed.objects.get().until == there + timedelta(days=DAYS)
        Suppressed.objects.update(until=there)
        assert suppression.forget_expired() == 0
        Suppressed.objects.update(until=there - timedelta(days=1))
        assert suppression.forget_expired() == 1
