"""The two moments: T1 on receipts, letters and pages, how it comes about, and the new receipt when it slips."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.keys.horizons import CANNOT_BE_PROVEN, TWO_OFFICERS, KeyHorizon
from apps.keys.providers.file import FileProvider
from apps.locations.horizons import PLACE_OPEN, PLACE_UNKNOWN, erasure_horizon
from apps.locations.models import Location
from apps.mail.models import Letter
from apps.mail.services import send_due_letters
from apps.requests import moments, selectors
from apps.requests.models import Receipt
from apps.requests.reissuing import reissue_receipts
from tests.requests.conftest import approved, run, there

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


@pytest.fixture
def provable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose master keys can be proven gone, under the standing policy of two people."""
    monkeypatch.setattr(FileProvider, "is_provable", True)
    monkeypatch.setattr("apps.keys.horizons.standing_policy", lambda: object())


def said(request: Any) -> dict[str, Any]:
    return selectors.receipt_content(selectors.receipts_of(request)[0])


def known(place: Any, days: int | None) -> None:
    Location.objects.filter(kind="fake").update(horizon_days=days)


@pytest.mark.slow
def test_a_receipt_gives_the_day_under_a_standing_policy(ada: Any, place: Any, provable: None, settings: Any) -> None:
    known(place, 7)
    settings.RECORDS_BACKUP_RETENTION_DAYS = 5
    body = said(run(approved(ada)))
    parts = {part["what"]: part for part in body["irrecoverable_parts"]}
    assert body["irrecoverable_by"] == max(part["until"] for part in parts.values())
    assert body["irrecoverable_reason"] is None and body["irrecoverable_code"] is None
    days = settings.MASTER_KEY_ROLL_DAYS + settings.KEYS_BACKUP_RETENTION_DAYS
    least = (timezone.now() + timedelta(days=days)).date().isoformat()
    assert parts["keys"]["until"] >= least
    assert parts["place"]["place"] == "Support desk"
    assert parts["place"]["until"] == (timezone.now() + timedelta(days=8)).date().isoformat()
    assert parts["records_backups"]["until"] == (timezone.now() + timedelta(days=6)).date().isoformat()


@pytest.mark.slow
def test_the_longest_part_decides(ada: Any, place: Any, provable: None, settings: Any) -> None:
    known(place, 7)
    settings.RECORDS_BACKUP_RETENTION_DAYS = 400
    body = said(run(approved(ada)))
    assert body["irrecoverable_by"] == (timezone.now() + timedelta(days=401)).date().isoformat()


@pytest.mark.slow
def test_without_a_policy_it_takes_two_officers(ada: Any, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileProvider, "is_provable", True)
    known(place, 0)
    body = said(run(approved(ada)))
    assert (body["irrecoverable_by"], body["irrecoverable_code"]) == (None, TWO_OFFICERS)
    assert "two officers approve" in body["irrecoverable_reason"]


@pytest.mark.slow
def test_with_master_keys_in_files_the_receipt_says_that_nothing_can_be_proven(ada: Any, place: Any) -> None:
    known(place, 0)
    body = said(run(approved(ada)))
    assert (body["irrecoverable_by"], body["irrecoverable_code"]) == (None, CANNOT_BE_PROVEN)
    assert "No date can be proven" in body["irrecoverable_reason"]


@pytest.mark.slow
def test_a_place_that_does_not_say_leaves_no_day_for_all(ada: Any, place: Any, provable: None) -> None:
    known(place, None)
    body = said(run(approved(ada)))
    assert (body["irrecoverable_by"], body["irrecoverable_code"]) == (None, PLACE_UNKNOWN)


def test_a_place_that_still_holds_something_leaves_the_day_to_the_final_receipt(own_places: None) -> None:
    outside = Location(kind="fake", name="Desk", horizon_days=3)
    now = timezone.now()
    keys = KeyHorizon(now.date())
    assert erasure_horizon(keys, [(outside, None)]).reason == PLACE_OPEN
    assert erasure_horizon(keys, [(outside, now)]).by == (now + timedelta(days=4)).date()


@pytest.mark.slow
def test_the_letter_says_both_moments(ada: Any, place: Any, provable: None, mailoutbox: list[Any]) -> None:
    known(place, 7)
    run(approved(ada))
    send_due_letters()
    text = mailoutbox[-1].body
    assert "Unreadable from" in text or "Unreadable since" in text  # a minute after the keys went
    assert "Irrecoverable by" in text


@pytest.mark.slow
def test_a_day_that_slips_brings_a_new_receipt_and_a_letter_once(
    ada: Any, place: Any, provable: None, settings: Any
) -> None:
    known(place, 7)
    request = run(approved(ada))
    first = Receipt.objects.get()
    letters = Letter.objects.count()
    assert reissue_receipts() == 0  # it was compared when it was issued
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 0  # and nothing has slipped
    settings.RECORDS_BACKUP_RETENTION_DAYS = 90
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 1
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 0
    [newest, before] = selectors.receipts_of(request)
    assert (newest.number, before.number) == (2, 1)
    assert there(newest.irrecoverable_by) > there(first.irrecoverable_by)
    assert selectors.receipt_content(newest)["unreadable_at"] == selectors.receipt_content(before)["unreadable_at"]
    assert selectors.receipt_content(newest)["is_final"] is True
    assert Letter.objects.count() == letters + 1


@pytest.mark.slow
def test_a_day_that_slips_every_night_brings_one_letter_a_week(
    ada: Any, place: Any, provable: None, settings: Any
) -> None:
    known(place, 7)
    run(approved(ada))

    def slipped(days: int) -> int:
        settings.RECORDS_BACKUP_RETENTION_DAYS = days
        Receipt.objects.update(compared_at=None)
        return reissue_receipts()

    assert [slipped(90), slipped(91), slipped(92)] == [1, 0, 0]
    Receipt.objects.update(issued_at=timezone.now() - timedelta(days=7, minutes=1))
    assert [slipped(93), slipped(94)] == [1, 0]


@pytest.mark.slow
def test_a_day_that_comes_sooner_brings_none(ada: Any, place: Any, provable: None, settings: Any) -> None:
    known(place, 7)
    settings.RECORDS_BACKUP_RETENTION_DAYS = 90
    run(approved(ada))
    settings.RECORDS_BACKUP_RETENTION_DAYS = 5
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 0


@pytest.mark.slow
def test_a_policy_that_two_people_set_later_turns_the_reason_into_a_day(
    ada: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileProvider, "is_provable", True)
    known(place, 7)
    request = run(approved(ada))
    assert said(request)["irrecoverable_by"] is None
    monkeypatch.setattr("apps.keys.horizons.standing_policy", lambda: object())
    Receipt.objects.update(compared_at=None)
    assert reissue_receipts() == 1
    assert said(request)["irrecoverable_by"] is not None


def test_what_t1_would_be_now_is_said_before_anybody_asks(ada: Any, place: Any, provable: None) -> None:
    known(place, 200)
    assert moments.if_erased_now().by == (timezone.now() + timedelta(days=201)).date()
    assert "Irrecoverable by" in moments.horizon_words(moments.if_erased_now())


def test_check_locations_prints_the_parts_and_warns_of_what_is_too_long(
    ada: Any, provable: None, settings: Any
) -> None:
    def printed(code: int, *arguments: str) -> str:
        out = StringIO()
        if code:
            with pytest.raises(SystemExit) as ended:
                call_command("check_locations", *arguments, stdout=out, stderr=out)
            assert ended.value.code == code
        else:
            call_command("check_locations", *arguments, stdout=out, stderr=out)
        return out.getvalue()

    def read(code: int) -> Any:
        return json.loads(printed(code, "--json"))["erased_now"]

    text = printed(0)
    assert "Erased now: unreadable within two minutes, irrecoverable by" in text
    assert "the next roll of the master key" in text and "Backups of the records database" in text
    assert "longer than" not in text
    same = read(0)
    assert f"irrecoverable by {same['irrecoverable_by']}" in text and same["reason"] == ""
    assert [part["wait"] for part in same["keys"]] == ["roll", "grace", "keys_backups", "provider"]
    assert all(f": {part['until']}\n" in text for part in [*same["keys"], *same["waits"]])
    assert not any(wait["too_long"] for wait in same["waits"])
    settings.RECORDS_BACKUP_RETENTION_DAYS = 60
    assert "Backups of the records database (RECORDS_BACKUP_RETENTION_DAYS): longer than the 30 days" in printed(4)
    assert [wait["wait"] for wait in read(4)["waits"] if wait["too_long"]] == ["records_backups"]
    settings.RECORDS_BACKUP_RETENTION_DAYS = 0
    settings.KEYS_BACKUP_RETENTION_DAYS = 60
    assert "Keys: longer than the 30 days" in printed(4)


def test_without_a_day_check_locations_gives_the_reason(ada: Any) -> None:
    out = StringIO()
    call_command("check_locations", "--json", stdout=out)
    found = json.loads(out.getvalue())["erased_now"]
    assert (found["irrecoverable_by"], found["reason"], found["keys"]) == (None, "cannot_be_proven", [])
    assert found["waits"][0] == {
        "wait": "keys", "place": "", "until": None, "reason": "cannot_be_proven", "too_long": False,
    }  # fmt: skip
    out = StringIO()
    call_command("check_locations", stdout=out)
    why = "no date: master keys are files, and nothing proves that a file is gone (cannot_be_proven)"
    assert out.getvalue().count(why) == 2  # of the whole, and of the keys
