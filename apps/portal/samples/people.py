"""The people of the sample site. Their one password stands here for everybody to read: loopback only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.accounts.checks import SAMPLE_DOMAIN
from apps.accounts.roles import ADMINISTRATORS, APPROVERS, AUDITORS, COMPLIANCE

PASSWORD = "sample-person-2026"  # noqa: S105


@dataclass(frozen=True)
class Person:
    name: str
    what: str
    roles: tuple[str, ...] = ()
    language: str = "en"
    conversations: bool = False

    @property
    def email(self) -> str:
        return f"{self.name.lower()}@{SAMPLE_DOMAIN}"

    @property
    def is_staff(self) -> bool:
        return bool(set(self.roles) - {AUDITORS})


PEOPLE = (
    Person("Ada", "data subject, with conversations", conversations=True),
    Person("Ben", "a second one, whose data must survive", conversations=True),
    Person("Cleo", "compliance officer: reviews requests", (COMPLIANCE,)),
    Person("Dan", "second approver of erasures", (APPROVERS,)),
    Person("Eve", "auditor: reads the request log", (AUDITORS,)),
    Person("Mallory", "has an account and no rights"),
    Person("Root", "administrator: people and places", (ADMINISTRATORS,)),
)


def card(there: Sequence[Person] = PEOPLE) -> str:
    """Who can sign in, for the terminal, and how those come back who were erased."""
    lines = [f"{person.email:<24} {person.what}" for person in there]
    gone = [person.name for person in PEOPLE if person not in there]
    said = f"Sign in as (password for all: {PASSWORD})\n  " + "\n  ".join(lines) + "\n"
    if gone:
        said += f"Not there any more: {', '.join(gone)}. Made anew by: python manage.py make_sample_people --again\n"
    return said
