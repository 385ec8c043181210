"""The staff at their desks: Cleo reviews, Dan approves second, Eve audits, Root administers; Mallory has no rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.requests.models import PrivacyRequest
from tests.requests.conftest import _places, ada, ben, cleo, dan, own_places, place, staff  # noqa: F401

LIST = "/admin/requests/privacyrequest/"


class Desk(Client):
    """A browser in which somebody has just signed in with a password."""

    def __init__(self, user: User | None = None) -> None:
        super().__init__()
        if user is not None:
            EmailAddress.objects.get_or_create(user=user, email=user.email, verified=True, primary=True)
            self.post("/accounts/login/", {"login": user.email, "password": "a good password"})
            assert "_auth_user_id" in self.session

    def let_time_pass(self, seconds: float) -> None:
        """Make the sign-in that much older."""
        session = self.session
        session["account_authentication_methods"][0]["at"] -= seconds
        session.save()

    def look(self, request: PrivacyRequest, purpose: str = "review") -> str:
        """Open a request, with its purpose, and return the page."""
        self.post(f"{page(request)}open/", {"purpose": purpose})
        return self.read(page(request))

    def read(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, answer.status_code
        return text_of(answer)


def page(request: PrivacyRequest) -> str:
    return f"{LIST}{request.reference}/"


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture(autouse=True)
def _policy(settings: Any) -> Iterator[None]:
    settings.AUTOMATIC_ACCESS_APPROVAL = False
    cache.clear()  # counts of sign-ins
    yield
    cache.clear()


@pytest.fixture
def at_cleos(cleo: User) -> Desk:  # noqa: F811
    return Desk(cleo)


@pytest.fixture
def at_dans(dan: User) -> Desk:  # noqa: F811
    return Desk(dan)


@pytest.fixture
def root(own_places: None) -> User:  # noqa: F811
    return staff("root@example.org", "administrators")


@pytest.fixture
def at_roots(root: User) -> Desk:
    return Desk(root)


@pytest.fixture
def eve(own_places: None) -> User:  # noqa: F811
    user = staff("eve@example.org", "auditors")
    User.objects.filter(pk=user.pk).update(is_staff=False)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def mallory(own_places: None) -> User:  # noqa: F811
    return User.objects.create_user("mallory@example.org", "a good password")
