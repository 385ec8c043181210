"""Every address of the portal, tried as Ada, as Mallory and as nobody."""

from __future__ import annotations

import re
import time
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from apps.portal.middleware import HEADER
from apps.portal.urls import urlpatterns
from tests.portal.conftest import Held, Person, set_last_authentication

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

PUBLIC = ["home", "how", "accessibility", "verify", "verifier", "find", "intake"]
OWN = ["privacy", "conversations", "search", "import", "requests", "new_request", "request_details", "delete_all"]
POSTED = ["language", "choices", "delete_conversations"]
OF_A_MESSAGE = ["remove_message", "correct_message"]
OF_A_CONVERSATION = ["conversation", "delete_conversation", "attachment", "image", *OF_A_MESSAGE]
OF_AN_IMPORT = ["import_progress"]
OF_A_REQUEST = ["request", "receipt", "proof", "send_message", "withdraw", "do_not_wait", "download"]
BY_LINK = ["confirm_intake"]
IN_QUARANTINE = ["accept_gap"]  # tests/requests/test_restore.py tries it as administrators


def addresses(held: Held, *, unknown: bool = False) -> dict[str, str]:
    """Return the address of everything that belongs to Ada, or of things that do not exist."""
    conversation = uuid4() if unknown else held.conversation.id
    picture = uuid4() if unknown else held.picture.pk
    imported = uuid4() if unknown else held.imported.pk
    reference = "HB-2222-2222" if unknown else held.request.reference
    found = {name: reverse(f"portal:{name}", args=[conversation]) for name in ("conversation", "delete_conversation")}
    found |= {name: reverse(f"portal:{name}", args=[conversation, picture]) for name in ("attachment", "image")}
    found |= {name: reverse(f"portal:{name}", args=[conversation, 1]) for name in OF_A_MESSAGE}
    found["import_progress"] = reverse("portal:import_progress", args=[imported])
    found |= {name: reverse(f"portal:{name}", args=[reference]) for name in OF_A_REQUEST if name != "proof"}
    return found | {"proof": reverse("portal:proof", args=[reference, 1])}


def ask(client: Client, name: str, address: str) -> Any:
    if name in ("send_message", "do_not_wait"):
        return client.post(address, {"text": "hello"})
    return client.get(address)


def test_every_address_is_in_one_of_these_lists() -> None:
    listed = {*PUBLIC, *OWN, *POSTED, *OF_A_CONVERSATION, *OF_AN_IMPORT, *OF_A_REQUEST, *BY_LINK, *IN_QUARANTINE}
    assert {pattern.name for pattern in urlpatterns} == listed


def test_a_gap_in_the_log_is_accepted_by_nobody_but_administrators(nobody: Client, ada: Person) -> None:
    address = reverse("portal:accept_gap")
    assert "/accounts/login/" in nobody.post(address)["Location"]
    assert ada.client.post(address).status_code == 404


@pytest.mark.parametrize("name", PUBLIC)
def test_public_pages_open_for_nobody_and_for_ada(name: str, nobody: Client, ada: Person) -> None:
    address = reverse(f"portal:{name}")
    assert nobody.get(address).status_code == 200
    assert ada.client.get(address).status_code == 200


@pytest.mark.parametrize("name", OWN)
def test_own_pages_open_for_ada_and_send_nobody_to_sign_in(name: str, nobody: Client, ada: Person) -> None:
    address = reverse(f"portal:{name}") + ("?kind=access" if name == "request_details" else "")
    refused = nobody.get(address)
    assert refused.status_code == 302
    assert refused["Location"].startswith("/accounts/login/")
    answer = ada.client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("name", ["choices", "delete_conversations"])
def test_forms_send_nobody_to_sign_in(name: str, nobody: Client, ada: Person) -> None:
    address = reverse(f"portal:{name}")
    assert nobody.post(address)["Location"].startswith("/accounts/login/")
    assert ada.client.get(address)["Location"] in ("/privacy/", "/conversations/")


@pytest.mark.parametrize("name", [*OF_A_CONVERSATION, *OF_AN_IMPORT])
def test_what_is_adas_is_not_there_for_mallory(name: str, held: Held, ada: Person, mallory: Person) -> None:
    address, unknown = addresses(held)[name], addresses(held, unknown=True)[name]
    assert ada.client.get(address).status_code == 200
    other, missing = mallory.client.get(address), mallory.client.get(unknown)
    assert other.status_code == missing.status_code == 404
    assert without_address(other, address) == without_address(missing, unknown)


@pytest.mark.parametrize("name", OF_A_REQUEST)
def test_requests_of_others_look_like_ones_that_do_not_exist(name: str, held: Held, mallory: Person) -> None:
    address, unknown = addresses(held)[name], addresses(held, unknown=True)[name]
    other, missing = ask(mallory.client, name, address), ask(mallory.client, name, unknown)
    assert other.status_code == missing.status_code == 404
    assert without_address(other, address) == without_address(missing, unknown)


@pytest.mark.parametrize("name", ["request", "withdraw"])
def test_adas_request_opens_for_ada(name: str, held: Held, ada: Person) -> None:
    assert ada.client.get(addresses(held)[name]).status_code == 200


@pytest.mark.parametrize("name", [*OF_A_CONVERSATION, *OF_AN_IMPORT, *OF_A_REQUEST])
def test_nobody_learns_whether_something_exists(name: str, held: Held, nobody: Client) -> None:
    address, unknown = addresses(held)[name], addresses(held, unknown=True)[name]
    one, other = ask(nobody, name, address), ask(nobody, name, unknown)
    assert one.status_code == other.status_code == 302
    shape = [where["Location"].replace(held.request.reference, "HB-2222-2222") for where in (one, other)]
    assert shape[0].split("?")[0] == shape[1].split("?")[0]


def test_destroying_and_disclosing_ask_for_the_password_again(held: Held, ada: Person) -> None:
    set_last_authentication(ada.client, 0)
    for address in (
        reverse("portal:delete_all"),
        reverse("portal:request_details") + "?kind=erasure",
        reverse("portal:delete_conversation", args=[held.conversation.id]),
        reverse("portal:download", args=[held.request.reference]),
        reverse("portal:withdraw", args=[held.request.reference]),
    ):
        answer = ada.client.get(address)
        assert answer.status_code == 302, address
        assert "/reauthenticate/" in answer["Location"], address
    set_last_authentication(ada.client, time.time())
    assert ada.client.get(reverse("portal:delete_all")).status_code == 200


def test_unknown_addresses_show_the_plain_page(nobody: Client, places: None) -> None:
    answer = nobody.get("/nothing/here/")
    assert answer.status_code == 404
    assert "There is nothing here that we can show you" in answer.content.decode()
    assert "default-src 'none'" in answer[HEADER]


def without_address(answer: Any, address: str) -> str:
    """The page without its own address, which the form for the language repeats, and without the CSRF token."""
    text: str = answer.content.decode().replace(address, "")
    lines = [line for line in text.splitlines() if "csrfmiddlewaretoken" not in line]
    return "\n".join(lines)


@pytest.mark.parametrize("name", OF_A_MESSAGE)
def test_a_message_beyond_every_number_is_not_found(name: str, ada: Person, held: Held) -> None:
    for position in (10**6, 2**63, 10**30):
        address = reverse(f"portal:{name}", args=[held.conversation.id, position])
        assert ada.client.get(address).status_code == 404, position


@pytest.mark.parametrize("name", ["account_email", "usersessions_list", "mfa_index", "account_change_password"])
def test_the_pages_of_the_sign_in_are_kept_by_no_cache(name: str, ada: Person, nobody: Client) -> None:
    assert "no-store" in ada.client.get(reverse(name))["Cache-Control"]
    assert "Cache-Control" not in nobody.get(reverse("portal:how"))


def test_no_form_leaves_its_address_to_the_page() -> None:
    """What is resumed after the question for the password stands at the address of that question."""
    form = re.compile(r'<form method="post"(?:\{[{%].*?[%}]\}|[^>{])*>')
    templates = {path: path.read_text(encoding="utf-8") for path in (settings.BASE_DIR / "templates").rglob("*.html")}
    found = [(path.name, tag) for path, text in templates.items() for tag in form.findall(text)]
    assert len(found) > 50
    assert [one for one in found if " action=" not in one[1]] == []
    assert [path.name for path, text in templates.items() if 'formaction="#' in text] == []
