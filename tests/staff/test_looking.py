"""A look is logged with its purpose before anything is shown, and what is shown holds no content."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.audit.actors import Actor
from apps.audit.models import Entry
from apps.audit.selectors import looks_at
from apps.records.importers import read_text
from apps.records.importers.types import ParsedConversation
from apps.records.services import store_conversations
from apps.requests import services
from apps.requests.services import Document
from apps.requests.staff import looks
from tests.requests.conftest import as_person, events, filed
from tests.staff.conftest import LIST, page, text_of

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


@pytest.fixture
def request_of_ada(ada):
    return filed(ada, "access", note="the spring as well")


def test_the_purpose_is_asked_for_and_nothing_is_shown_before(at_cleos, request_of_ada):
    text = at_cleos.read(page(request_of_ada))
    assert "Why do you open request" in text
    assert "the spring as well" not in text
    assert looks_at(request_of_ada.handle) == []


def test_a_look_is_logged_with_its_purpose_and_then_the_request_is_shown(at_cleos, request_of_ada):
    text = at_cleos.look(request_of_ada, "complaint")
    assert "the spring as well" in text
    assert [(look.role, look.purpose) for look in looks_at(request_of_ada.handle)] == [("officer", "complaint")]


def test_one_sitting_is_one_look_and_after_it_the_purpose_is_asked_again(at_cleos, request_of_ada, monkeypatch):
    at_cleos.look(request_of_ada)
    at_cleos.read(page(request_of_ada))
    assert len(looks_at(request_of_ada.handle)) == 1
    monkeypatch.setattr(looks, "SITTING_SECONDS", 0)
    assert "Why do you open request" in at_cleos.read(page(request_of_ada))


def test_a_purpose_that_nobody_knows_opens_nothing(at_cleos, request_of_ada):
    assert at_cleos.post(f"{page(request_of_ada)}open/", {"purpose": "curiosity"}).status_code == 400
    assert looks_at(request_of_ada.handle) == []
    assert "Why do you open request" in at_cleos.read(page(request_of_ada))


def test_if_the_look_cannot_be_logged_the_page_fails_and_shows_nothing(at_cleos, request_of_ada, monkeypatch):
    def broken(*args, **values):
        raise OSError("the log is full")

    monkeypatch.setattr("apps.requests.services.changing.audit.append", broken)
    with pytest.raises(OSError, match="the log is full"):
        at_cleos.post(f"{page(request_of_ada)}open/", {"purpose": "review"})
    monkeypatch.undo()
    assert "the spring as well" not in at_cleos.read(page(request_of_ada))


def test_no_page_of_a_request_opens_past_the_purpose(at_cleos, request_of_ada):
    for part in ("approve/", "refuse/", "message/", "extend/", "assign/", "hold/", "withdraw/"):
        answer = at_cleos.get(f"{page(request_of_ada)}{part}")
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, page(request_of_ada)), part
        assert at_cleos.post(f"{page(request_of_ada)}{part}").headers["Location"] == page(request_of_ada), part


def test_messages_to_the_team_are_shown_and_conversations_are_not(at_cleos, ada, request_of_ada, conversation_of_ada):
    services.send_message(request_of_ada, "please hurry", actor=as_person(ada))
    text = at_cleos.look(request_of_ada)
    assert "please hurry" in text
    assert "1 conversation" in text
    assert "the secret title" not in text
    assert "the secret message" not in text


@pytest.fixture
def conversation_of_ada(ada):
    node = read_text("User: the secret message\n\nAssistant: yes")
    (parsed,) = [one for one in node if isinstance(one, ParsedConversation)]
    parsed.title = "the secret title"
    store_conversations(ada, [parsed], actor=Actor.system())


def test_history_names_every_entry_and_gives_its_proof_once_it_is_signed(at_cleos, request_of_ada):
    text = at_cleos.look(request_of_ada)
    assert "Not yet signed" in text
    entry = Entry.objects.filter(about=request_of_ada.handle)[0]
    assert at_cleos.get(f"{page(request_of_ada)}entries/{entry.pk}/proof").status_code == 404
    other = Entry.objects.exclude(about=request_of_ada.handle)[0]
    assert at_cleos.get(f"{page(request_of_ada)}entries/{other.pk}/proof").status_code == 404


class TestDocuments:
    @pytest.fixture
    def document(self, ada):
        request = filed(ada, "access", identity_level="none")
        row = services.add_evidence(
            request, Document("Ada Lovelace passport.pdf", "application/pdf"), [b"%PDF-1.7 ..."], actor=as_person(ada)
        )
        return request, row

    def test_one_is_given_without_its_name_and_each_time_is_a_look(self, at_cleos, document):
        request, row = document
        assert "Lovelace" not in at_cleos.look(request)
        answer = at_cleos.get(f"{page(request)}documents/{row.pk}/")
        assert b"".join(collected(answer)) == b"%PDF-1.7 ..."
        assert "Lovelace" not in answer.headers["Content-Disposition"]
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert [look.purpose for look in looks_at(request.handle)] == ["identity_check", "review"]

    def test_approvers_do_not_get_it(self, at_dans, document):
        request, row = document
        at_dans.look(request)
        assert at_dans.get(f"{page(request)}documents/{row.pk}/").status_code == 403


def collected(answer: Any) -> list[bytes]:
    async def gather() -> list[bytes]:
        return [chunk async for chunk in answer.streaming_content]

    return asyncio.run(gather())


class TestSearch:
    def test_an_exact_reference_opens_it_and_logs_the_look(self, at_cleos, request_of_ada):
        words = {"words": request_of_ada.reference.lower(), "purpose": "answer"}
        answer = at_cleos.post(f"{LIST}find/", words)
        assert answer.headers["Location"] == page(request_of_ada)
        assert "the spring as well" in at_cleos.read(page(request_of_ada))
        assert [look.purpose for look in looks_at(request_of_ada.handle)] == ["answer"]

    def test_an_exact_address_lists_the_persons_requests_and_no_address_stands_in_the_page(self, at_cleos, ada, ben):
        mine, other = filed(ada), filed(ben)
        answer = at_cleos.post(f"{LIST}find/", {"words": " ADA@example.org ", "purpose": "review"}, follow=True)
        text = text_of(answer)
        assert mine.reference in text
        assert other.reference not in text
        assert "ada@" not in text.lower()
        assert "ada" not in answer.redirect_chain[0][0]
        assert [look.event for look in looks_at(ada.handle)] == ["subject.looked_at"]
        assert looks_at(ben.handle) == []

    @pytest.mark.parametrize("words", ["ada", "ada@example", "HB-", "HB-2222-2222", "nobody@example.org"])
    def test_a_part_finds_nothing(self, at_cleos, ada, words):
        filed(ada)
        answer = at_cleos.post(f"{LIST}find/", {"words": words, "purpose": "review"})
        assert answer.status_code == 404
        assert "Only the whole one is found" in text_of(answer)


def test_the_list_names_nobody(at_cleos, ada):
    request = filed(ada, note="a note")
    text = at_cleos.read(LIST)
    assert request.reference in text
    assert "ada@" not in text
    assert "a note" not in text
    assert "request.looked_at" not in events(request)


def test_the_purpose_leads_on_to_the_page_that_was_asked_for_and_nowhere_else(at_cleos, ada, request_of_ada):
    wanted = f"{page(request_of_ada)}message/"
    assert f'name="next" value="{wanted}"' in text_of(at_cleos.get(wanted, follow=True))
    other = filed(ada, "portability")
    strange = [
        "https://example.org/",
        "//example.org/",
        page(other),
        f"{page(request_of_ada)}../",
        "/admin/logout/",
        "x",
    ]
    for path in strange:
        sent = {"purpose": "review", "next": path}
        assert at_cleos.post(f"{page(request_of_ada)}open/", sent)["location"] == page(request_of_ada), path
    assert at_cleos.post(f"{page(request_of_ada)}open/", {"purpose": "review", "next": wanted})["location"] == wanted
