"""A person's conversations: read, searched, erased."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from apps.records import selectors
from apps.records.importers.types import Node, ParsedConversation
from apps.records.models import Conversation, Import, Subject
from apps.records.selectors import searching
from apps.records.services import place_hold, run_import, store_conversations
from tests.portal.conftest import Person, set_last_authentication
from tests.records.conftest import conversation, node

pytestmark = pytest.mark.django_db(databases=["default", "keys"])


def store(person: Person, *parsed: ParsedConversation) -> list[Any]:
    store_conversations(person.subject, parsed, actor=person.actor, source="chatgpt")
    return selectors.conversations_page(person.subject).items


def test_an_empty_list_says_what_to_do(ada: Person) -> None:
    assert "Nothing is held yet" in ada.client.get("/conversations/").content.decode()


def test_long_lists_go_on_where_they_stopped(ada: Person) -> None:
    now = timezone.now()
    store(ada, *(conversation(f"c{n}", "hi", title=f"Number {n}.", at=now - timedelta(days=n)) for n in range(60)))
    first = ada.client.get("/conversations/").content.decode()
    assert "60 conversations, newest first" in first
    assert "Number 0." in first
    assert "Number 59." not in first
    following = first.split('href="?cursor=')[1].split('"')[0]
    second = ada.client.get(f"/conversations/?cursor={following}").content.decode()
    assert "Number 59." in second
    assert "Number 0." not in second


def test_a_conversation_is_read_with_its_versions(ada: Person) -> None:
    root = Node("r", None, "", None, {"id": "r", "message": None, "parent": None})
    nodes = [root, node("a", "r", "user", "Question"), node("b", "a", "assistant", "First answer"),
             node("c", "a", "assistant", "Second answer")]  # fmt: skip
    (held,) = store(ada, conversation("c", nodes=nodes, current="c"))
    address = reverse("portal:conversation", args=[held.id])
    current = ada.client.get(address).content.decode()
    assert "Second answer" in current
    assert "First answer" not in current
    assert "Version 2 of 2" in current
    previous = current.split('href="?branch=')[1].split("&amp;")[0]
    assert "First answer" in ada.client.get(f"{address}?branch={previous}").content.decode()


def test_what_a_source_brought_in_says_so_in_words(ada: Person) -> None:
    parsed = conversation("c", "Hello")
    parsed.source = "sync"
    (held,) = store(ada, parsed)
    assert "· From another system" in ada.client.get(reverse("portal:conversation", args=[held.id])).content.decode()


@pytest.mark.parametrize("query", ["?page=999999", "?page=0", "?page=x", "?branch=99999", "?branch=-1", "?at=77"])
def test_odd_addresses_show_the_conversation_all_the_same(query: str, ada: Person) -> None:
    (held,) = store(ada, conversation("c", "Hello"))
    answer = ada.client.get(reverse("portal:conversation", args=[held.id]) + query, follow=True)
    assert answer.status_code == 200
    assert "Hello" in answer.content.decode()


def test_search_finds_words_and_leads_to_the_message(ada: Person) -> None:
    (held,) = store(ada, conversation("c", "About nothing", "The landlord answers", title="A letter"))
    page = ada.client.post("/conversations/search/", {"words": "landlord"}).content.decode()
    assert "A letter" in page
    assert f"/conversations/{held.id}/?at=" in page
    at = page.split("?at=")[1].split('"')[0]
    led = ada.client.get(reverse("portal:conversation", args=[held.id]) + f"?at={at}")
    assert led["Location"].endswith(f"#m{at}")
    nothing = ada.client.post("/conversations/search/", {"words": "zebra"}).content.decode()
    assert "No conversation has these words" in nothing
    assert 'value="zebra"' in nothing


def test_a_search_that_takes_long_is_continued(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    store(ada, conversation("a", "zebra"), conversation("b", "nothing"), conversation("c", "zebra"))
    monkeypatch.setattr(searching.search, "__kwdefaults__", {"cursor": "", "seconds": 2.0, "limit": 1})
    first = ada.client.post("/conversations/search/", {"words": "zebra"}).content.decode()
    assert "There is more to look through" in first
    cursor = re.findall(r'name="cursor" value="(\w+)"', first)[0]
    second = ada.client.post("/conversations/search/", {"words": "zebra", "cursor": cursor}).content.decode()
    found = [re.findall(r"/conversations/([0-9a-f-]{36})/", page) for page in (first, second)]
    assert len({*found[0], *found[1]}) == 2


def test_search_without_words_is_an_error_and_says_so(ada: Person) -> None:
    page = ada.client.post("/conversations/search/", {"words": " "}).content.decode()
    assert "<title>Error: " in page
    assert "Write the words to look for." in page


def test_erasing_asks_first_and_says_what_goes(ada: Person) -> None:
    one, two = store(ada, conversation("a", "x", title="One"), conversation("b", "y", title="Two"))
    asked = ada.client.post("/conversations/erase/", {"pick": [str(one.id)]}).content.decode()
    assert one.title in asked
    assert two.title not in asked
    assert Conversation.objects.count() == 2


def test_erasing_nothing_says_so(ada: Person) -> None:
    answer = ada.client.post("/conversations/erase/", follow=True)
    assert "Nothing was ticked" in answer.content.decode()


@pytest.mark.parametrize("pick", ["not-an-id", str(uuid4())])
def test_ids_that_are_not_ones_own_are_not_there(pick: str, ada: Person, mallory: Person) -> None:
    (held,) = store(ada, conversation("a", "x"))
    assert ada.client.post("/conversations/erase/", {"pick": pick}).status_code == 404
    for confirmed in ("", "1"):
        answer = mallory.client.post("/conversations/erase/", {"pick": str(held.id), "confirmed": confirmed})
        assert answer.status_code == 404
    assert Conversation.objects.count() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_ticked_conversations_go_and_others_stay(ada: Person, mallory: Person) -> None:
    store(mallory, conversation("m", "mine"))
    one, two = store(ada, conversation("a", "x", title="One"), conversation("b", "y", title="Two"))
    answer = ada.client.post("/conversations/erase/", {"pick": str(one.id), "confirmed": "1"}, follow=True)
    assert "1 conversation was erased." in answer.content.decode()
    assert [row.id for row in selectors.conversations_page(ada.subject).items] == [two.id]
    assert selectors.count_conversations(mallory.subject) == 1


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_while_the_use_is_restricted_a_whole_conversation_goes_and_no_part_of_one(ada: Person) -> None:
    one, two = store(ada, conversation("a", "x", title="One"), conversation("b", "y", title="Two"))
    Subject.objects.filter(pk=ada.subject.pk).update(restricted_at=timezone.now())
    answer = ada.client.post(f"/conversations/{one.id}/messages/1/remove/", follow=True)
    assert "The use of your data is restricted at your request. Nothing was changed." in answer.content.decode()
    ada.client.post("/conversations/erase/", {"pick": str(one.id), "confirmed": "1"})
    assert [row.id for row in selectors.conversations_page(ada.subject).items] == [two.id]


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_all_go_after_the_word_was_typed(ada: Person) -> None:
    store(ada, conversation("a", "x"), conversation("b", "y"))
    page = ada.client.get("/conversations/erase-all/").content.decode()
    assert "Would you like a copy first?" in page
    assert "2 conversations with 2 messages" in page
    refused = ada.client.post("/conversations/erase-all/", {"word": "yes"}).content.decode()
    assert "<title>Error: " in refused
    assert 'value="yes"' in refused
    assert Conversation.objects.count() == 2
    ada.client.post("/conversations/erase-all/", {"word": " Erase "})
    assert Conversation.objects.count() == 0


def test_what_the_law_keeps_cannot_be_ticked_or_erased(ada: Person) -> None:
    (held,) = store(ada, conversation("a", "x", title="Dispute"))
    until = timezone.localdate() + timedelta(days=30)
    place_hold(ada.subject, basis="GDPR Article 17(3)(e)", until=until, conversation_id=held.id, actor=ada.actor)
    page = ada.client.get("/conversations/").content.decode()
    assert "Kept by law until" in page
    assert f'value="{held.id}"' not in page
    answer = ada.client.post("/conversations/erase/", {"pick": str(held.id), "confirmed": "1"}, follow=True)
    assert "Nothing was erased." in answer.content.decode()
    assert Conversation.objects.count() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_pasted_text_comes_in_and_the_page_counts(ada: Person) -> None:
    answer = ada.client.post("/conversations/import/", {"text": "You: hello\n\nAssistant: good day"})
    row = Import.objects.get()
    assert answer["Location"] == reverse("portal:import_progress", args=[row.pk])
    assert "data-renew" in ada.client.get(answer["Location"]).content.decode()
    run_import(row.pk)
    page = ada.client.get(answer["Location"]).content.decode()
    assert "Your conversations are here" in page
    assert "data-renew" not in page
    assert selectors.count_conversations(ada.subject) == 1


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_file_that_is_no_conversation_is_named_with_its_reason(ada: Person) -> None:
    ada.client.post("/conversations/import/", {"file": SimpleUploadedFile("odd.json", b'{"what": "this"}')})
    row = Import.objects.get()
    run_import(row.pk)
    page = ada.client.get(reverse("portal:import_progress", args=[row.pk])).content.decode()
    assert "Nothing was read in" in page
    assert "What was not understood, and why" in page
    assert "odd.json" in page


def test_an_import_without_anything_keeps_the_form(ada: Person) -> None:
    page = ada.client.post("/conversations/import/", {"text": "  "}).content.decode()
    assert "Choose a file, or paste text." in page
    assert not Import.objects.exists()


def test_with_recording_switched_off_the_page_says_so(ada: Person) -> None:
    ada.client.post("/privacy/choices/", {"time_zone": "UTC"})
    page = ada.client.get("/conversations/import/").content.decode()
    assert "Nothing new is kept at the moment" in page
    assert "<textarea" not in page
    ada.client.post("/conversations/import/", {"text": "hello"})
    assert not Import.objects.exists()


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_a_message_is_removed_after_it_was_shown_what_goes(ada: Person) -> None:
    (held,) = store(ada, conversation("c", "my pin is 4711", "noted"))
    address = reverse("portal:conversation", args=[held.id])
    page = ada.client.get(address).content.decode()
    link = re.search(r'href="([^"]+/messages/1/remove/)"', page)
    assert link is not None
    asked = ada.client.get(link[1]).content.decode()
    assert "Remove this message?" in asked and "my pin is 4711" in asked
    assert "my pin is 4711" in ada.client.get(address).content.decode()  # looking changed nothing
    led = ada.client.post(link[1], follow=True)
    page = led.content.decode()
    assert "The message was removed." in page and "This message was removed on" in page
    assert "4711" not in page and "noted" in page
    assert ada.client.get(address).status_code == 404
    assert "/messages/1/remove/" not in page and "/messages/2/remove/" in page


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_own_words_are_corrected_and_an_answer_is_not(ada: Person) -> None:
    (held,) = store(ada, conversation("c", "I was born in 1971", "noted"))
    address = reverse("portal:correct_message", args=[held.id, 1])
    assert "I was born in 1971" in ada.client.get(address).content.decode()
    empty = ada.client.post(address, {"text": " "}).content.decode()
    assert "Write what it should say" in empty
    page = ada.client.post(address, {"text": "I was born in 1981"}, follow=True).content.decode()
    assert "The message was corrected." in page and "1981" in page and "1971" not in page and "Corrected on" in page
    (held,) = selectors.conversations_page(ada.subject).items
    assert ada.client.get(reverse("portal:correct_message", args=[held.id, 2])).status_code == 404
    assert "/messages/2/correct/" not in page and "/messages/1/correct/" in page


def test_removing_asks_for_the_password_again(ada: Person) -> None:
    (held,) = store(ada, conversation("c", "my pin is 4711"))
    address = reverse("portal:remove_message", args=[held.id, 1])
    set_last_authentication(ada.client, 0)
    for answer in (ada.client.get(address), ada.client.post(address)):
        assert answer.status_code == 302 and "reauthenticate" in answer["Location"]
    assert "4711" in ada.client.get(reverse("portal:conversation", args=[held.id])).content.decode()


@pytest.mark.django_db(transaction=True, databases=["default", "keys"])
def test_what_the_law_keeps_is_not_offered_and_not_changed(ada: Person) -> None:
    (held,) = store(ada, conversation("c", "my pin is 4711"))
    place_hold(ada.subject, basis="order", until=timezone.now().date() + timedelta(days=9), actor=ada.actor)
    page = ada.client.get(reverse("portal:conversation", args=[held.id])).content.decode()
    assert "/remove/" not in page
    page = ada.client.post(reverse("portal:remove_message", args=[held.id, 1]), follow=True).content.decode()
    assert "The law keeps this conversation until" in page and "4711" in page
