"""Ada asks, Ben's data must survive, Cleo reviews, Dan approves second; and a place with switches."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import officer_handle
from apps.audit.actors import Actor, Role
from apps.audit.models import Entry
from apps.locations.models import Location
from apps.locations.services import ensure_own_locations, save_location
from apps.records.models import Subject
from apps.records.subjects import create_subject
from apps.requests import claims, engine, services
from apps.requests.claims import Claim
from apps.requests.models import Kind, PrivacyRequest, Step
from apps.requests.workers import STOPPING
from tests.requests.fakes import ChangingPlace, FakeConnector

T = TypeVar("T")
ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.fixture(autouse=True)
def _places(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Own places, the fake kind, a storage of the test's own; nobody asks the process to stop."""
    settings.CONNECTORS = settings.CONNECTORS | {"fake": "tests.requests.fakes.FakeConnector"}
    if importlib.util.find_spec("apps.records.connector") is None:
        settings.CONNECTORS = settings.CONNECTORS | {"records": "tests.requests.fakes.EmptyPlace"}
    configured = dict(settings.STORAGES)
    options = {"location": str(tmp_path / "storage")}
    configured["default"] = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    settings.STORAGES = configured
    STOPPING.clear()
    yield


@pytest.fixture
def own_places(db: Any) -> None:
    ensure_own_locations()


def person(email: str) -> Subject:
    account = User.objects.create_user(email, "a good password")
    return create_subject(account, emails=[email])


@pytest.fixture
def ada(own_places: None) -> Subject:
    return person(ADA)


@pytest.fixture
def ben(own_places: None) -> Subject:
    return person(BEN)


def staff(email: str, group: str) -> User:
    user = User.objects.create_user(email, "a good password", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def crm(own_places: None, settings: Any, tmp_path: Path) -> ChangingPlace:
    settings.CONNECTORS = settings.CONNECTORS | {"changing": "tests.requests.fakes.ChangingPlace"}
    config = {"folder": str(tmp_path / "crm")}
    save_location(Location(kind="changing", name="CRM"), config=config, actor=Actor.system())
    place = ChangingPlace(config)
    place.set(ADA, name="Adda", city="Bonn")
    place.set(BEN, name="Adda", city="Bonn")
    return place


@pytest.fixture
def cleo(own_places: None) -> User:
    return staff("cleo@example.org", "compliance")


@pytest.fixture
def dan(own_places: None) -> User:
    return staff("dan@example.org", "approvers")


def as_person(subject: Subject) -> Actor:
    return Actor(subject.handle, Role.PERSON)


def as_officer(user: User) -> Actor:
    return Actor(officer_handle(user), Role.OFFICER)


@pytest.fixture
def place(own_places: None, tmp_path: Path) -> FakeConnector:
    """An outside place; what a request does there is looked at through its folder."""
    return add_place(tmp_path / "desk", "Support desk")


def add_place(folder: Path, name: str) -> FakeConnector:
    config = {"folder": str(folder)}
    save_location(Location(kind="fake", name=name, country="Ireland"), config=config, actor=Actor.system())
    return FakeConnector(config)


def filed(subject: Subject, kind: str = Kind.ACCESS, **values: Any) -> PrivacyRequest:
    """File as the person, signed in and freshly re-authenticated."""
    values = dict[str, Any]({"regime": "gdpr", "actor": as_person(subject)}) | values
    return services.open_request(subject, kind=kind, **values).request


def approved(subject: Subject, kind: str = Kind.ERASURE, **values: Any) -> PrivacyRequest:
    """File and approve as the command line does: at once, without cooling off."""
    request = filed(subject, kind, **values)
    if request.status == "in_review":
        services.approve_request(request, rule="command_line", actor=Actor.command_line())
    request.refresh_from_db()
    return request


def run(request: PrivacyRequest) -> PrivacyRequest:
    """Do everything that is due, as a worker does."""
    while engine.drain():
        pass
    request.refresh_from_db()
    return request


def there(value: T | None) -> T:
    """Say that a value is not None."""
    assert value is not None
    return value


def taken(request: PrivacyRequest) -> Claim:
    """Take the next step, as a worker does."""
    return there(claims.claim_next(request.pk, engine.GUARDS))


def wake(request: PrivacyRequest) -> None:
    """Let the time pass that blocked steps wait."""
    request.steps.filter(state__in=("blocked", "pending"), next_try_at__isnull=False).update(next_try_at=timezone.now())


def states(request: PrivacyRequest) -> dict[str, str]:
    steps = request.steps.select_related("location")
    return {step.location.name if step.location else step.phase: step.state for step in steps}


def step_at(request: PrivacyRequest, name: str) -> Step:
    return request.steps.get(location__name=name)


def events(request: PrivacyRequest) -> list[str]:
    return list(Entry.objects.filter(about=request.handle).order_by("pk").values_list("event", flat=True))
