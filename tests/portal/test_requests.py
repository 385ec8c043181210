"""Requests from the form to the receipt, as their person sees them."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail as outbox
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from apps.locations.reasons import Reason
from apps.mail.services import send_due_letters
from apps.portal import access
from apps.portal.views import receipts
from apps.records.models import Subject
from apps.requests import engine, selectors, services
from apps.requests.models import Intake, PrivacyRequest, Status
from apps.requests.services import OpenedRequest
from apps.requests.services.intake import send_links
from tests.portal.conftest import Person, approve_everything
from tests.portal.test_conversations import store
from tests.records.conftest import conversation
from tests.requests.conftest import add_place

pytestmark = pytest.mark.django_db(databases=["default", "keys"])
committed = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

DETAILS = "/requests/new/details/"
COPY = {"kind": "access", "residence": "DE", "span": "all", "note": "Also the tickets"}
ERASURE = {"kind": "erasure", "residence": "US-CA"}


def text(answer: Any) -> str:
    page: str = answer.content.decode()
    return page


def hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page)
    return {name: html.unescape(value) for name, value in found if name != "csrfmiddlewaretoken"}


def confirm(person: Person, details: dict[str, str], **more: str) -> Any:
    """Send step 2, then what the confirming page holds."""
    page = text(person.client.post(DETAILS, details))
    fields = hidden_fields(page.split("<main")[1])
    assert fields["once"]
    return person.client.post(DETAILS, fields | more)


def test_the_first_page_keeps_what_the_address_says(ada: Person) -> None:
    page = text(ada.client.get("/requests/new/?kind=erasure"))
    assert re.search(r'value="erasure" checked', page)
    assert not re.search(r'value="access" checked', page)


def test_no_kind_is_an_error_with_the_form(ada: Person) -> None:
    page = text(ada.client.get(DETAILS))
    assert "<title>Error: " in page
    assert "Choose what you would like to happen." in page


def test_errors_lose_nothing_that_was_typed(ada: Person) -> None:
    wrong = COPY | {"residence": "", "span": "dates", "since": "2026-03-01", "until": "2026-02-01", "formats": "csv"}
    page = text(ada.client.post(DETAILS, wrong))
    assert "<title>Error: " in page
    assert "There are 2 things to fix" in page
    assert "Choose where you live." in page
    assert "The last day must be on or after the first day, 1 March 2026." in page
    assert 'value="2026-03-01"' in page
    assert 'value="2026-02-01"' in page
    assert "Also the tickets" in page
    assert re.search(r'value="csv"[^>]*checked', page)
    assert re.search(r'name="residence"[^>]*aria-invalid="true"', page)
    assert re.search(r'name="until"[^>]*aria-describedby="id_until_error"', page)
    assert 'id="id_until_error"' in page


def test_a_copy_is_confirmed_filed_and_its_code_shown_once(ada: Person) -> None:
    store(ada, conversation("a", "x"))
    page = text(ada.client.post(DETAILS, COPY | {"formats": "csv"}))
    assert "1 conversation, 1 message" in page
    assert not PrivacyRequest.objects.exists()
    answer = ada.client.post(DETAILS, hidden_fields(page.split("<main")[1]))
    filed = PrivacyRequest.objects.get()
    code = re.search(r"[2-9A-Z]{5}(-[2-9A-Z]{5}){5}", text(answer))
    assert code
    assert selectors.by_reference_and_code(filed.reference, code[0]) == filed
    assert filed.regime == "gdpr"
    assert filed.status == Status.APPROVED  # the standing policy for people who are signed in
    assert selectors.note_of(filed) == "Also the tickets"
    assert 'action="/language/"' not in text(answer)  # the page exists once: another language would lose the code
    assert code[0] not in text(ada.client.get(reverse("portal:request", args=[filed.reference])))


def test_sending_the_confirming_page_twice_files_once(ada: Person) -> None:
    page = text(ada.client.post(DETAILS, COPY))
    fields = hidden_fields(page.split("<main")[1])
    ada.client.post(DETAILS, fields)
    again = ada.client.post(DETAILS, fields, follow=True)
    assert PrivacyRequest.objects.count() == 1
    assert "This was sent already." in text(again)


def test_sending_it_twice_at_the_same_moment_files_once(ada: Person) -> None:
    """Both answers begin with the session as it was: here it is put back."""
    fields = hidden_fields(text(ada.client.post(DETAILS, COPY)).split("<main")[1])
    before = dict(ada.client.session)
    ada.client.post(DETAILS, fields)
    session = ada.client.session
    session.update(before)
    session.save()
    ada.client.post(DETAILS, fields)
    assert PrivacyRequest.objects.count() == 1


def test_an_erasure_needs_the_word_and_says_what_goes(ada: Person) -> None:
    store(ada, conversation("a", "x"), conversation("b", "y"))
    page = text(ada.client.post(DETAILS, ERASURE))
    assert "2 conversations, 2 messages" in page
    assert "1 account" in page
    refused = confirm(ada, ERASURE, word="no")
    assert "<title>Error: " in text(refused)
    assert not PrivacyRequest.objects.exists()
    confirm(ada, ERASURE | {"waive": "on"}, word="删除")
    filed = PrivacyRequest.objects.get()
    assert (filed.kind, filed.regime, filed.waives_archive_first) == ("erasure", "ccpa", True)
    assert filed.status == Status.IN_REVIEW


def test_an_erasure_waits_for_the_copy_unless_waived(ada: Person) -> None:
    confirm(ada, ERASURE, word="erase")
    assert PrivacyRequest.objects.get().waives_archive_first is False


def test_the_request_page_says_where_it_stands_and_by_when(ada: Person) -> None:
    filed = ada.file("erasure").request
    page = text(ada.client.get(reverse("portal:request", args=[filed.reference])))
    assert "The privacy team looks at it" in page
    assert "Nothing has been erased yet" in page
    assert "GDPR, Article 12(3)" in page
    assert 'aria-current="step"' in page
    assert "Withdraw this request" in page
    listed = text(ada.client.get("/requests/"))
    assert filed.reference in listed


def test_messages_go_both_ways_and_an_empty_one_is_an_error(ada: Person) -> None:
    filed = ada.file("erasure", note="My note").request
    address = reverse("portal:send_message", args=[filed.reference])
    assert "Write your message first." in text(ada.client.post(address, {"text": " "}))
    page = text(ada.client.post(address, {"text": "Is it done?"}, follow=True))
    assert "Is it done?" in page
    assert "My note" in page


def test_withdrawing_asks_first(ada: Person) -> None:
    filed = ada.file("erasure").request
    address = reverse("portal:withdraw", args=[filed.reference])
    assert "Withdraw, and keep my data" in text(ada.client.get(address))
    filed.refresh_from_db()
    assert filed.status == Status.IN_REVIEW
    page = text(ada.client.post(address, follow=True))
    assert "The request is withdrawn." in page
    filed.refresh_from_db()
    assert filed.status == Status.WITHDRAWN
    assert "It is too late to withdraw" in text(ada.client.post(address, follow=True))


def test_a_refusal_names_its_ground_and_where_to_complain(ada: Person) -> None:
    filed = ada.file("erasure").request
    services.refuse_request(filed, ground="legal_claim", text="A court case is open.", actor=ada.actor)
    page = text(ada.client.get(reverse("portal:request", args=[filed.reference])))
    assert "GDPR, Article 17(3)(e)" in page
    assert "A court case is open." in page
    assert "You may complain to" in page


@pytest.mark.slow
@committed
def test_a_copy_is_collected_downloaded_and_expires(ada: Person) -> None:
    store(ada, conversation("a", "x"))
    filed = ada.file("access").request
    engine.drain()
    page = text(ada.client.get(reverse("portal:request", args=[filed.reference])))
    assert "Your download is ready" in page
    assert "3 of 3 places done" in page
    address = reverse("portal:download", args=[filed.reference, 1])
    whole = ada.client.head(address)
    assert whole["Accept-Ranges"] == "bytes"
    assert f"{filed.reference}-1.zip" in whole["Content-Disposition"]
    part = ada.client.get(address, headers={"Range": "bytes=0-3"})
    assert part.status_code == 206
    archive = selectors.archives_of(filed).get()
    archive.expires_at = timezone.now()
    archive.save()
    gone = ada.client.get(address)
    assert gone.status_code == 410
    assert "The download has expired" in text(gone)


@committed
def test_a_receipt_says_in_the_persons_language_what_each_place_keeps_and_until_when(
    ada: Person, nobody: Client, settings: Any, tmp_path: Path
) -> None:
    settings.CONNECTORS = settings.CONNECTORS | {"fake": "tests.requests.fakes.FakeConnector"}
    for name, switches in (("Locked", {"blocked_until": "2031-01-03"}), ("Closed", {"refused": True})):
        add_place(tmp_path / name, name).switch(**switches)
    opened = ada.file("erasure", waives_archive_first=True, language="zh-hans")
    approve_everything(opened.request)
    assert opened.request.status == Status.PARTLY_COMPLETED
    send_due_letters()
    letter = str(outbox.outbox[-1].body)
    nobody.post("/language/", {"language": "zh-hans", "next": "/"})
    nobody.post("/requests/find/", {"reference": opened.request.reference, "code": opened.code})
    page = text(nobody.get(reverse("portal:receipt", args=[opened.request.reference])))
    for reason in (Reason.OBJECT_LOCK, Reason.REFUSED):
        with translation.override("en"):
            english = str(reason.label)
        with translation.override("zh-hans"):
            chinese = str(reason.label)
        for said in (letter, page):
            assert chinese in said
            assert english not in said
    assert "2031年1月3日" in letter
    assert "2031年1月3日" in page


@committed
def test_after_an_erasure_the_code_opens_status_and_receipt_and_nothing_else(ada: Person, nobody: Client) -> None:
    store(ada, conversation("a", "x"))
    opened = ada.file("erasure", note="My note", waives_archive_first=True)
    reference = opened.request.reference
    approve_everything(opened.request)
    assert opened.request.status == Status.COMPLETED
    assert not Subject.objects.exists()
    page = reverse("portal:request", args=[reference])
    assert nobody.get(page)["Location"] == f"/requests/find/?reference={reference}"
    answer = nobody.post("/requests/find/", {"reference": reference.lower(), "code": opened.code.replace("-", " ")})
    assert answer["Location"] == page
    status = text(nobody.get(page))
    assert "Your data is erased" in status
    assert "My note" not in status
    assert "Write to the privacy team" not in status
    receipt = text(nobody.get(reverse("portal:receipt", args=[reference])))
    assert "1 conversation, " in receipt
    assert "No date can be given" in receipt
    assert " UTC" in receipt
    proof = nobody.get(reverse("portal:proof", args=[reference, 1]))
    assert proof["Content-Disposition"] == f'attachment; filename="{reference}-1.tlog-proof"'
    assert proof.content.startswith(b"c2sp.org/tlog-proof@v1")
    for name in ("download", "withdraw"):
        assert nobody.get(reverse(f"portal:{name}", args=[reference]))["Location"].startswith("/accounts/login/")


def test_the_code_stops_opening_after_half_an_hour(
    ada: Person, nobody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ada.file("erasure")
    page = reverse("portal:request", args=[opened.request.reference])
    nobody.post("/requests/find/", {"reference": opened.request.reference, "code": opened.code})
    assert nobody.get(page).status_code == 200
    later = access.time() + access.OPEN_SECONDS + 1
    monkeypatch.setattr(access, "time", lambda: later)
    assert nobody.get(page).status_code == 302


def test_a_wrong_code_and_a_wrong_reference_look_alike(ada: Person, nobody: Client) -> None:
    opened = ada.file("erasure")
    other = "HB-2222-2222"
    pages = [
        text(nobody.post("/requests/find/", {"reference": reference, "code": code}))
        for reference, code in ((opened.request.reference, "AAAAA"), (other, "AAAAA"), (other, opened.code))
    ]
    shapes = {re.sub(r'value="[^"]*"', "", page) for page in pages}
    assert len(shapes) == 1
    assert "No request has this reference and this code." in pages[0]
    assert "<title>Error: " in pages[0]


INTAKE = {"kind": "access", "residence": "DE", "first_use": "spring 2025"}


def test_the_answer_to_an_intake_does_not_say_who_is_known(ada: Person, nobody: Client) -> None:
    pages = []
    for email in (ada.user.email, "stranger@example.net"):
        page = text(nobody.post("/requests/without-account/", INTAKE | {"email": email}))
        row = Intake.objects.get(created_at=max(Intake.objects.values_list("created_at", flat=True)))
        page = page.replace(row.reference, "REFERENCE")
        page = re.sub(r"[2-9A-Z]{5}(-[2-9A-Z]{5}){5}", "CODE", page)
        pages.append(re.sub(r'csrfmiddlewaretoken" value="\w+"', "", page))
    assert pages[0] == pages[1]
    assert "If we know this address, a link is on its way." in pages[0]


@pytest.mark.parametrize("email", ["ada@example.org", "stranger@example.net"])
def test_nobody_floods_an_address_with_letters(email: str, nobody: Client, ada: Person) -> None:
    sent = [nobody.post("/requests/without-account/", INTAKE | {"email": email}).status_code for _ in range(6)]
    assert sent == [200] * 5 + [429]
    assert nobody.post("/requests/without-account/", INTAKE | {"email": email.title()}).status_code == 429
    assert nobody.post("/requests/without-account/", INTAKE | {"email": "other@example.net"}).status_code == 200
    assert Intake.objects.count() == 6


def test_an_intake_keeps_what_was_typed_when_something_is_wrong(nobody: Client, places: None) -> None:
    page = text(nobody.post("/requests/without-account/", INTAKE | {"email": "not an address", "note": "Please"}))
    assert "Enter an e-mail address such as name@example.org." in page
    assert 'value="not an address"' in page
    assert "spring 2025" in page
    assert "Please" in page
    assert not Intake.objects.exists()


def test_a_link_is_shown_by_get_and_used_up_by_post(ada: Person, nobody: Client, monkeypatch: Any) -> None:
    token = "a" * 43
    monkeypatch.setattr("apps.requests.services.intake.new_link_token", lambda: token)
    nobody.post("/requests/without-account/", INTAKE | {"email": "stranger@example.net"})
    send_links()
    address = reverse("portal:confirm_intake", args=[token])
    for _ in range(2):
        assert "Yes, I made this request" in text(nobody.get(address))
    assert not PrivacyRequest.objects.exists()
    assert "Your address is confirmed" in text(nobody.post(address))
    assert PrivacyRequest.objects.get().status == Status.VERIFYING
    assert nobody.post(address).status_code == 410
    assert "This link no longer works" in text(nobody.get(address))


def test_an_intake_that_is_not_confirmed_shows_that_we_wait(nobody: Client, places: None) -> None:
    page = text(nobody.post("/requests/without-account/", INTAKE | {"email": "stranger@example.net"}))
    row = Intake.objects.get()
    code = re.search(r"[2-9A-Z]{5}(-[2-9A-Z]{5}){5}", page)
    assert code
    nobody.post("/requests/find/", {"reference": row.reference, "code": code[0]})
    assert "We wait for you" in text(nobody.get(reverse("portal:request", args=[row.reference])))


def partly_collected(ada: Person) -> OpenedRequest:
    """File an access of which one place does not answer, and have the rest published."""
    opened = ada.file("access")
    engine.drain()
    steps = opened.request.steps.filter(phase="collect")
    missing = steps.order_by("location__name").first()
    assert missing is not None
    steps.filter(pk=missing.pk).update(state="blocked", reason="unreachable", until=None, ended_at=None)
    PrivacyRequest.objects.filter(pk=opened.request.pk).update(status=Status.PARTLY_COMPLETED, ended_at=None)
    return opened


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_an_erasure_that_waits_leads_to_the_copy_and_says_what_it_waits_for(ada: Person) -> None:
    copy = partly_collected(ada).request
    erasure = ada.file("erasure").request
    approve_everything(erasure)
    page = text(ada.client.get(reverse("portal:request", args=[erasure.reference])))
    assert "not every place has answered yet" in page
    assert "Seven days before the erasure is due we ask you" in page
    link = f'class="button" href="{reverse("portal:request", args=[copy.reference])}"'
    assert link in page
    PrivacyRequest.objects.filter(pk=copy.pk).update(status=Status.COMPLETED)
    page = text(ada.client.get(reverse("portal:request", args=[erasure.reference])))
    assert "have not downloaded it to its end" in page
    assert link in page


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_copy_that_an_erasure_ends_says_what_does_not_come_any_more(ada: Person) -> None:
    copy = partly_collected(ada)
    erasure = ada.file("erasure", waives_archive_first=True).request
    approve_everything(erasure)
    query = {"reference": copy.request.reference, "code": copy.code}
    page = text(Client().post("/requests/find/", query, follow=True))
    assert "An erasure came first" in page
    assert "does not come any more" in page


@pytest.mark.slow
@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_unreadable_is_said_of_the_future_until_it_is_there(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ada.file("erasure")
    approve_everything(opened.request)
    browser = Client()
    browser.post("/requests/find/", {"reference": opened.request.reference, "code": opened.code})
    receipt = reverse("portal:receipt", args=[opened.request.reference])
    page = text(browser.get(receipt))
    assert "Unreadable from this moment on" in page
    assert "Unreadable since" not in page
    later = timezone.now() + timedelta(minutes=2)
    monkeypatch.setattr(receipts.timezone, "now", lambda: later)
    assert "Unreadable since" in text(browser.get(receipt))


def asked(browser: Client, path: str, sent: dict[str, str]) -> list[str]:
    """Post a form, and return the questions that the database was asked for it, their values left out."""
    with CaptureQueriesContext(connection) as queries:
        assert browser.post(path, sent).status_code in (200, 302, 400)
    return [re.sub(r"'[^']*'|\b\d+\b", "?", query["sql"]) for query in queries]


def test_filing_without_an_account_does_the_same_work_for_known_and_unknown_people(ada: Person, nobody: Client) -> None:
    known = asked(nobody, "/requests/without-account/", INTAKE | {"email": ada.user.email})
    unknown = asked(Client(), "/requests/without-account/", INTAKE | {"email": "eda@example.org"})
    assert Intake.objects.count() == 2
    assert known == unknown
    assert not any("records_identity" in question for question in known)  # nobody is looked for


def test_looking_up_a_reference_asks_the_same_whether_it_is_there_or_not(ada: Person, nobody: Client) -> None:
    there = ada.file("erasure").request.reference
    sent = {"code": "AAAAA-AAAAA-AAAAA"}
    found = asked(nobody, "/requests/find/", sent | {"reference": there})
    lost = asked(Client(), "/requests/find/", sent | {"reference": "HB-2222-2222"})
    assert [one for one in found if "requests_" in one] == [one for one in lost if "requests_" in one]


@pytest.mark.parametrize(("since", "until"), [("0001-01-01", ""), ("", "9999-12-31"), ("0026-03-01", "2026-03-01")])
def test_a_year_that_is_a_slip_of_the_finger_is_told_at_the_field(ada: Person, since: str, until: str) -> None:
    values = {"kind": "access", "residence": "DE", "span": "dates", "note": "typed with care"}
    answer = ada.client.post("/requests/new/details/", values | {"since": since, "until": until})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "Write the date as year, month and day" in text
    assert "typed with care" in text
    fine = ada.client.post("/requests/new/details/", values | {"since": "2026-03-01", "until": ""})
    assert "Write the date" not in fine.content.decode()
