"""Make the people of the sample site, with conversations. Only `make run` calls it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.accounts.models import User
from apps.audit import quarantine
from apps.audit.actors import Actor
from apps.portal.samples.export import write_export
from apps.portal.samples.people import PASSWORD, PEOPLE, Person, card
from apps.records import importers
from apps.records import services as records


def _marker() -> Path:
    """The file that remembers who was made, by the samples' own names: apart from the people, who may be erased."""
    return Path(settings.DATA_DIR) / "sample-people.made"


def _made() -> set[str]:
    """Return who was made here before. In a new database nobody was, whatever the file says."""
    path = _marker()
    return set(path.read_text(encoding="utf-8").split()) if path.exists() and User.objects.exists() else set()


def _is_there(person: Person) -> bool:
    return User.objects.filter(email=person.email).exists()


class Command(BaseCommand):
    help = (
        "Makes the people of the sample site (SAMPLE_SITE=on, 127.0.0.1 only), each once: whoever was erased stays so, "
        "until it is told to make them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--again", action="store_true", help="make those anew who are not there any more")

    def handle(self, *args: Any, again: bool = False, **options: Any) -> None:
        if not settings.SAMPLE_SITE:  # which settings refuse on any host but loopback
            raise CommandError("Sample people have a password that everybody knows: only `make run` makes them.")
        if quarantine.reason():
            self.stdout.write("The site stands in quarantine after a restore: no sample people are made.")
            return
        made = _made()
        for person in PEOPLE:
            if not _is_there(person) and (again or person.name not in made):
                self._make(person)
            made |= {person.name}
            _marker().write_text("\n".join(sorted(made)) + "\n", encoding="utf-8")
        path = Path(settings.DATA_DIR) / "sample-people.txt"
        path.write_text(card([person for person in PEOPLE if _is_there(person)]), encoding="utf-8")
        path.chmod(0o600)

    def _make(self, person: Person) -> None:
        with transaction.atomic():
            user = User.objects.create_user(person.email, PASSWORD, language=person.language, is_staff=person.is_staff)
            EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
            user.groups.set(Group.objects.filter(name__in=person.roles))
        if person.conversations:
            self.stdout.write(f"Sample conversations of {person.name} …")
            self._import_conversations(user, person)

    @staticmethod
    def _import_conversations(user: User, person: Person) -> None:
        with TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            path = Path(folder) / "export.zip"
            with path.open("wb") as target:
                write_export(person.name.lower(), target)
            records.store_conversations(
                records.subject_for(user), importers.read(path), actor=Actor.command_line(), source="chatgpt"
            )
