"""T0 and T1 as people see them: on the receipt's page and on Data and privacy, with a day or the reason why there is none."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.formats import date_format

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.selectors import index_of
from apps.keys.providers.file import FileProvider
from apps.locations.connectors.openai import ABUSE_LOG_DAYS
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.locations.services import test_config as try_config
from apps.portal.templatetags.portal import in_utc
from apps.requests import selectors
from apps.requests.moments import if_erased_now
from tests.contracts.openai_standin import KEY, OpenAIStandIn
from tests.portal.conftest import Person, approve_everything
from tests.portal.test_requests import text

ON_RECEIPT = {"two_officers": "Once two officers approve", "cannot_be_proven": "No date can be given"}
WHY = {
    "two_officers": "until the master key of that time is destroyed, it could still open old copies",
    "cannot_be_proven": "No date can be proven: the master keys of this site are files",
}


@pytest.fixture(params=["", "two_officers", "cannot_be_proven"])
def reason(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why there is no day; "": there is one, as master keys can be proven gone and two people have set the policy."""
    monkeypatch.setattr(FileProvider, "is_provable", request.param != "cannot_be_proven")
    policy = None if request.param else SimpleNamespace()
    monkeypatch.setattr("apps.keys.horizons.standing_policy", lambda: policy)
    found: str = request.param
    return found


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_receipt_shows_both_moments_and_then_the_entry_of_the_end(
    ada: Person, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ada.file("erasure")
    approve_everything(opened.request)
    browser, address = Client(), reverse("portal:receipt", args=[opened.request.reference])
    browser.post("/requests/find/", {"reference": opened.request.reference, "code": opened.code})
    page = text(browser.get(address))
    [receipt] = selectors.receipts_of(opened.request)
    body = selectors.receipt_content(receipt)
    unreadable_at = opened.request.unreadable_at
    told = datetime.fromisoformat(body["unreadable_at"])
    assert unreadable_at and timedelta(0) <= told - unreadable_at < timedelta(minutes=1), "never told too early"
    assert told.second == 0, "a page that shows minutes says the same"
    assert in_utc(told, "seconds") in page
    day = date.fromisoformat(body["irrecoverable_by"]) if not reason else None
    shown = date_format(day) if day else ON_RECEIPT[reason]
    assert f'Irrecoverable by</dt><dd class="moment">{shown}</dd>' in page
    assert {code for code, words in WHY.items() if words in page} == ({reason} if reason else set())

    ended = Entry.objects.earliest("pk")
    says = f"was destroyed on {in_utc(ended.created_at)}: entry {index_of(ended)} of the log"
    assert says not in page
    monkeypatch.setattr(selectors, "end_of_master_keys", lambda request: ended)
    assert says in text(browser.get(address))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_receipt_names_the_providers_own_logs_and_their_last_day_where_there_are_any(ada: Person) -> None:
    server = OpenAIStandIn()
    for name, has_no_logs in (("OpenAI", False), ("OpenAI without logs", True)):
        config: dict[str, Any] = {"api_key": KEY, "base_url": server.address, "identity": "user_id"}
        config |= {"all_ids_recorded": True, "zero_retention": has_no_logs}
        place = Location(kind="openai", name=name, country="USA")
        health = try_config("openai", config)
        save_location(place, config=config, actor=Actor.system(), health=health)
    opened = ada.file("erasure")
    approve_everything(opened.request)
    server.stop()
    assert server.violations == []
    [receipt] = selectors.receipts_of(opened.request)
    rows = {row["place"]: row for row in selectors.receipt_content(receipt)["places"]}
    ended_at = opened.request.steps.get(location__name="OpenAI").ended_at
    assert ended_at
    last = ended_at.date() + timedelta(days=ABUSE_LOG_DAYS + 1)
    assert rows["OpenAI"]["horizon_is"] == "The provider's own logs, which nobody can delete"
    assert rows["OpenAI"]["horizon_until"] == last.isoformat()
    assert rows["OpenAI without logs"]["horizon_until"] is None
    browser, address = Client(), reverse("portal:receipt", args=[opened.request.reference])
    browser.post("/requests/find/", {"reference": opened.request.reference, "code": opened.code})
    page = unescape(text(browser.get(address)))
    assert f"The provider's own logs, which nobody can delete, until {date_format(last)}." in page
    assert page.count("The provider's own logs") == 1


@pytest.mark.django_db(databases=["default", "keys"])
def test_data_and_privacy_says_both_of_an_erasure_now(ada: Person, reason: str) -> None:
    page = text(ada.client.get("/privacy/"))
    assert "Unreadable within two minutes, for staff and software." in page
    day = if_erased_now().by
    assert (day is None) is bool(reason)
    assert ("Irrecoverable by" in page) is (not reason)
    if day:
        assert f"Irrecoverable by {date_format(day)}, for anybody with any old copy." in page
    assert {code for code, words in WHY.items() if words in page} == ({reason} if reason else set())
