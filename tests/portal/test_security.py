"""What the pages let a browser do, and what a hostile conversation cannot."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from apps.portal.middleware import HEADER, STRICT, WITH_SCRIPT
from apps.portal.reader import kind_of_image
from tests.portal.conftest import TITLE, Held, Person, png

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

INLINE = re.compile(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", re.IGNORECASE)


def body(answer: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(read)()


def tags(html: str) -> str:
    """Only what stands inside tags: text may say anything."""
    return " ".join(re.findall(r"<[^>]+>", html))


@pytest.mark.parametrize("path", ["/", "/verify/", "/how-it-works/", "/requests/find/", "/requests/without-account/"])
def test_public_pages_allow_no_script_at_all(path: str, nobody: Client, places: None) -> None:
    answer = nobody.get(path)
    assert answer[HEADER] == STRICT
    assert "script" not in STRICT
    assert "form-action 'self'" in STRICT
    assert "frame-ancestors 'none'" in STRICT
    assert "base-uri 'none'" in STRICT
    assert not INLINE.search(tags(answer.content.decode()))


@pytest.mark.slow
def test_own_pages_allow_no_script_but_the_ones_that_renew_themselves(held: Held, ada: Person) -> None:
    for name, args, policy in (
        ("privacy", [], STRICT),
        ("conversations", [], STRICT),
        ("conversation", [held.conversation.id], STRICT),
        ("request", [held.request.reference], WITH_SCRIPT),
        ("import_progress", [held.imported.pk], WITH_SCRIPT),
    ):
        answer = ada.client.get(reverse(f"portal:{name}", args=args))
        assert answer[HEADER] == policy, name
        assert not INLINE.search(tags(answer.content.decode())), name


def test_only_the_staff_site_has_a_wider_policy(nobody: Client, places: None) -> None:
    assert "unsafe-inline" in nobody.get("/admin/login/")[HEADER]
    assert "unsafe-inline" not in nobody.get("/accounts/login/")[HEADER]
    assert "script-src 'self'" in nobody.get("/accounts/login/")[HEADER]


@pytest.mark.slow
def test_the_referrer_stays_at_home_and_forms_still_work(ada: Person) -> None:
    """With "no-referrer" browsers send "Origin: null" with forms, and the CSRF check refuses them."""
    assert ada.client.get("/privacy/")["Referrer-Policy"] == "same-origin"


def test_titles_and_messages_are_text_whatever_they_hold(held: Held, ada: Person) -> None:
    for address in ("/conversations/", reverse("portal:conversation", args=[held.conversation.id])):
        html = ada.client.get(address).content.decode()
        assert "Deposit &lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert TITLE not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "onerror" not in tags(html)
    assert "<em>" not in html
    assert "Ask for a *list*." in html


def test_a_file_is_handed_out_to_be_saved_and_never_shown(held: Held, ada: Person) -> None:
    address = reverse("portal:attachment", args=[held.conversation.id, held.page.pk])
    answer = ada.client.get(address)
    assert body(answer) == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer[HEADER].startswith("sandbox;")


def test_a_picture_is_shown_alone_and_only_if_it_is_one(held: Held, ada: Person) -> None:
    shown = ada.client.get(reverse("portal:image", args=[held.conversation.id, held.picture.pk]))
    assert body(shown) == png()
    assert shown["Content-Type"] == "image/png"
    assert shown[HEADER].startswith("sandbox; default-src 'none'")
    refused = ada.client.get(reverse("portal:image", args=[held.conversation.id, held.page.pk]))
    assert refused.status_code == 404


def test_something_that_only_calls_itself_a_picture_is_not_shown() -> None:
    assert kind_of_image(png()) == "image/png"
    assert kind_of_image(b"<svg xmlns='http://www.w3.org/2000/svg'>") is None
    assert kind_of_image(b"") is None


def test_files_belong_to_their_conversation(held: Held, ada: Person) -> None:
    other = ada.client.get(reverse("portal:attachment", args=[held.request.pk, held.page.pk]))
    assert other.status_code == 404


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_the_language_form_leads_nowhere_else(next_page: str, nobody: Client, places: None) -> None:
    answer = nobody.post("/language/", {"language": "zh-hans", "next": next_page})
    assert answer["Location"] == "/"
    assert nobody.post("/language/", {"language": "zh-hans", "next": "/verify/"})["Location"] == "/verify/"


def test_forms_are_refused_without_their_token(ada: Person) -> None:
    strict: Any = Client(enforce_csrf_checks=True)
    strict.cookies = ada.client.cookies
    answer = strict.post("/privacy/choices/", {"recording": "on", "time_zone": "UTC"})
    assert answer.status_code == 403
    assert "your session may have ended" in answer.content.decode()
