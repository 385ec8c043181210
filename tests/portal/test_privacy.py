"""Data and privacy: every place counted, every look shown, every choice kept."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from django.db import transaction

from apps.audit import events
from apps.audit import services as audit
from apps.audit.actors import Actor, Role
from apps.audit.handles import new_handle
from apps.locations.contract import Item, Obstacle
from apps.locations.errors import Unavailable
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.portal import asking
from apps.requests.services import look_at_request
from tests.portal.conftest import PASSWORD, Person, file, set_last_authentication
from tests.portal.test_conversations import store
from tests.portal.test_requests import ERASURE
from tests.records.conftest import conversation

pytestmark = pytest.mark.django_db(databases=["default", "keys"])

OFFICER = Actor(new_handle(), Role.OFFICER)


class Shelf:
    """A place with switches."""

    trouble: Exception | None = None
    items = 3

    def __init__(self, config: dict[str, Any]) -> None:
        pass

    def preflight(self, who: Any, scope: Any) -> list[Obstacle]:
        return [Obstacle("object_lock", 2)]

    def find(self, who: Any, scope: Any) -> Iterator[Item]:
        if self.trouble:
            raise self.trouble
        for number in range(self.items):
            yield Item(f"secret-name-{number}", "object", 1_000)


@pytest.fixture
def shelf(places: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Shelf]]:
    settings.CONNECTORS = settings.CONNECTORS | {"shelf": "tests.portal.test_privacy.Shelf"}
    Location.objects.create(kind="shelf", name="Support desk", country="Ireland", purpose="Tickets", horizon_days=30)
    monkeypatch.setattr(Shelf, "trouble", None)
    monkeypatch.setattr(Shelf, "items", 3)
    yield Shelf


def row(page: str, name: str) -> str:
    found = [line for line in page.split('<tr role="row">') if f'scope="row">{name}' in line]
    assert found, page
    return re.sub(r"<[^>]+>", " ", found[0])


def test_only_our_own_places_are_this_site_where_no_country_is_named(shelf: type[Shelf], ada: Person) -> None:
    Location.objects.create(kind="shelf", name="Nobody said where")
    page = ada.client.get("/privacy/").content.decode()
    assert "This site" in row(page, "Conversations")
    assert "Ireland" in row(page, "Support desk")
    assert "This site" not in row(page, "Nobody said where")


def test_every_place_is_counted_with_its_purpose(shelf: type[Shelf], ada: Person, mallory: Person) -> None:
    store(mallory, conversation("m", "x"), conversation("n", "y"))
    store(ada, conversation("a", "x"))
    page = ada.client.get("/privacy/").content.decode()
    assert "1 conversation" in row(page, "Conversations")
    assert "1 account" in row(page, "Account and requests")
    outside = row(page, "Support desk")
    assert "Ireland" in outside
    assert "3 objects" in outside
    assert "Tickets" in outside
    assert "Old copies: 30 days after erasing" in outside
    assert "secret-name" not in page


@pytest.mark.slow
def test_a_place_that_does_not_answer_is_not_called_empty(shelf: type[Shelf], ada: Person) -> None:
    shelf.trouble = Unavailable("down")
    page = ada.client.get("/privacy/").content.decode()
    assert "Does not answer" in row(page, "Support desk")
    Location.objects.filter(kind="shelf").update(is_enabled=False)
    shelf.trouble = None
    assert "Does not answer" in row(ada.client.get("/privacy/").content.decode(), "Support desk")


def test_counting_stops_in_time_and_says_so(shelf: type[Shelf], ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.0)
    assert "At least 1 object" in row(ada.client.get("/privacy/").content.decode(), "Support desk")


def test_a_place_that_hangs_does_not_keep_the_person_waiting(
    shelf: type[Shelf], ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.1)
    monkeypatch.setattr(asking, "PATIENCE", 0.1)
    is_over = Event()
    monkeypatch.setattr(Shelf, "find", lambda self, who, scope: iter([is_over.wait(20)][:0]))
    began = time.monotonic()
    page = ada.client.get("/privacy/").content.decode()
    is_over.set()
    assert time.monotonic() - began < 10
    assert "Does not answer" in row(page, "Support desk")
    assert "1 account" in row(page, "Account and requests")


def test_before_an_erasure_what_cannot_go_yet_is_named(shelf: type[Shelf], ada: Person) -> None:
    page = ada.client.post("/requests/new/details/", {"kind": "erasure", "residence": "DE"}).content.decode()
    outside = row(page, "Support desk")
    assert "2 cannot go yet:" in outside
    assert "Locked by the storage until a date" in outside
    assert "Old copies there go 30 days later." in outside


@pytest.mark.slow
def test_looks_show_date_role_and_purpose_and_no_officer(ada: Person, mallory: Person) -> None:
    assert "Nobody has looked." in ada.client.get("/privacy/").content.decode()
    filed = ada.file("erasure").request
    look_at_request(filed, purpose="review", actor=OFFICER)
    with transaction.atomic():
        audit.append(events.Event.CONTENT_LOOKED_AT, about=ada.subject.handle, actor=OFFICER, purpose="legal")
    page = ada.client.get("/privacy/").content.decode()
    assert "Privacy team" in page
    assert "A request of yours" in page
    assert "Review of the request" in page
    assert "Legal claim or order of an authority" in page
    assert OFFICER.handle not in page
    assert "Nobody has looked." in mallory.client.get("/privacy/").content.decode()


def test_choices_are_kept_and_shown(ada: Person) -> None:
    chosen = {"no_training": "on", "retention": "90", "time_zone": "Europe/Berlin"}
    page = ada.client.post("/privacy/choices/", chosen, follow=True).content.decode()
    assert "Your choices are saved." in page
    ada.subject.refresh_from_db()
    assert ada.subject.is_recording_allowed is False
    assert ada.subject.opted_out_of_training is True
    assert ada.subject.opted_out_of_sharing is False
    assert ada.subject.retention_days == 90
    assert re.search(r'name="no_training" checked', page)
    assert not re.search(r'name="recording" checked', page)
    assert re.search(r'value="90" selected', page)


def test_erasing_sooner_asks_for_the_password_again_and_later_does_not(ada: Person) -> None:
    ada.client.post("/privacy/choices/", {"retention": "90", "time_zone": "UTC"})
    set_last_authentication(ada.client, 0)
    answer = ada.client.post("/privacy/choices/", {"retention": "30", "time_zone": "UTC", "no_training": "on"})
    assert "reauthenticate" in answer["Location"]
    ada.subject.refresh_from_db()
    assert (ada.subject.retention_days, ada.subject.opted_out_of_training) == (90, False)
    page = ada.client.post(answer["Location"], {"password": PASSWORD}, follow=True).content.decode()
    assert "Your choices are saved." in page
    ada.subject.refresh_from_db()
    assert (ada.subject.retention_days, ada.subject.opted_out_of_training) == (30, True)
    set_last_authentication(ada.client, 0)
    for later in ("365", ""):
        answer = ada.client.post("/privacy/choices/", {"retention": later, "time_zone": "UTC"})
        assert answer["Location"] == "/privacy/"
    assert (
        "reauthenticate" in ada.client.post("/privacy/choices/", {"retention": "730", "time_zone": "UTC"})["Location"]
    )


def test_an_open_request_stands_on_top(ada: Person) -> None:
    filed = ada.file("erasure").request
    page = ada.client.get("/privacy/").content.decode()
    assert f"/requests/{filed.reference}/" in page
    assert "A full answer is due by" in page


@pytest.mark.slow
def test_what_is_kept_against_being_brought_in_again_is_said_only_where_it_is(ada: Person, settings: Any) -> None:
    assert "bring you in again" not in ada.client.get("/privacy/").content.decode()
    settings.SUPPRESSION_DAYS = 90
    assert "For 90 days nobody here can bring you in again" in ada.client.get("/privacy/").content.decode()


def test_where_a_person_has_to_look_is_not_called_empty(shelf: type[Shelf], ada: Person) -> None:
    config = {"person": "Ms Green", "email": "green@example.org", "days": 14, "instructions": "Second floor."}
    save_location(Location(kind="hand", name="Filing room", country="Ireland"), config=config, actor=Actor.system())
    shelf.items = 0
    held = ada.client.get("/privacy/").content.decode()
    asked = ada.client.post("/requests/new/details/", ERASURE).content.decode()
    for page in (held, asked):
        assert "Not known yet" in row(page, "Filing room")
        assert "Nothing" not in row(page, "Filing room")
        assert "cannot go yet" not in row(page, "Filing room")
        assert "Nothing" in row(page, "Support desk")


def test_bytes_say_what_they_are_of(places: None, ada: Person) -> None:
    attached = file("notes.txt", b"x" * 978, "text/plain")
    store(ada, conversation("a", "x" * 5_000, attachments=[attached]))
    assert re.search(r"files of 978.bytes", row(ada.client.get("/privacy/").content.decode(), "Conversations"))
