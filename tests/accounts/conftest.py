"""People who sign in, and the letters they get."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.mail import services

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _no_counts_from_other_tests() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def make_person(name: str, *roles: str, **fields: Any) -> User:
    user = User.objects.create_user(f"{name}@example.org", PASSWORD, is_staff=bool(roles), **fields)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


@pytest.fixture
def ada(db: None) -> User:
    return make_person("ada")


@pytest.fixture
def ben(db: None) -> User:
    return make_person("ben")


@pytest.fixture
def cleo(db: None) -> User:
    return make_person("cleo", "compliance")


def sign_in(client: Client, user: User, password: str = PASSWORD) -> Any:
    return client.post("/accounts/login/", {"login": user.email, "password": password})


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def letters() -> Callable[[], list]:
    """Send what waits in the outbox and return it, oldest first."""

    def send() -> list:
        mail.outbox.clear()
        services.send_due_letters()
        return list(mail.outbox)

    return send


def link_in(letter: Any, part: str) -> str:
    """The path of the link in a letter that contains `part`."""
    found = re.search(rf"https?://testserver(/\S*{part}\S*)", letter.body)
    assert found, letter.body
    return found.group(1)
