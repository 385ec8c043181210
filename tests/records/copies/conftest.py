"""Rules for copies into places of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.records import services
from apps.records.copies import running
from apps.records.copies.policies import add_policy, approve_policy
from apps.records.models import Copy, CopyPolicy, CopyRun, Subject
from tests.locations.stores.conftest import (  # noqa: F401
    KINDS,
    Place,
    any_place,
    azure_place,
    azurite,
    files_place,
    gcs_emulator,
    gcs_place,
    mariadb_place,
    mongo_place,
    moto,
    postgres_place,
    s3_place,
    sftp,
    sftp_place,
    sqlite_place,
)
from tests.records.conftest import ada, attachment, ben, by, conversation, storage  # noqa: F401
from tests.services import mariadb, postgres  # noqa: F401

MakePolicy = Callable[..., CopyPolicy]


@pytest.fixture(autouse=True)
def _own_storage(storage: Path) -> None:  # noqa: F811
    """Files of conversations go into a folder of the test's own."""


@pytest.fixture
def make_policy() -> MakePolicy:
    def make(place: Place, *, form: str = "sealed", name: str = "Copies", **settings: Any) -> CopyPolicy:
        destination = Location(kind=place.kind, name=f"{name} go here {uuid4().hex[:6]}")
        save_location(destination, config=place.config, actor=Actor.system())
        values = {"name": name, "country": "Ireland", "target": "habeas_copies", "form": form} | settings
        officer = administrator() if form != "sealed" else None
        policy = add_policy(destination=destination, actor=Actor.system(), officer=officer, **values)
        if policy.is_readable:
            approve_policy(policy, officer=uuid4(), actor=Actor.system())
        return policy

    return make


def administrator() -> UUID:
    """Somebody who may propose readable copies."""
    return UUID(str(User.objects.create(email=f"{uuid4().hex[:8]}@example.org", is_superuser=True).pk))


def give(subject: Subject, *names: str, files: int = 0) -> None:
    for name in names:
        held = [attachment(f"{name}-{number}.pdf", f"file {number} of {name}".encode() * 50) for number in range(files)]
        parsed = conversation(name, f"question {name}", f"answer {name}", title=f"title {name}", attachments=held)
        services.store_conversations(subject, [parsed], actor=by(subject))


def due(policy: CopyPolicy, **times: Any) -> CopyPolicy:
    values = {"next_copy_at": timezone.now(), "lease_until": None} | times
    CopyPolicy.objects.filter(pk=policy.pk).update(**values)
    policy.refresh_from_db()
    return policy


def copied(policy: CopyPolicy) -> dict[str, int]:
    """Let the time of the rule come, and carry it out to the end; return the counts."""
    due(policy)
    while running.run_policy(policy.pk):
        pass
    last = CopyRun.objects.filter(policy=policy, kind="copy").order_by("-started_at")[0]
    return {name: number for name, number in last.counts.items() if name != "bytes"} | (
        {"failure": 1} if last.state == "failed" else {}
    )


def checked(policy: CopyPolicy) -> dict[str, int]:
    due(policy, next_copy_at=None, next_check_at=timezone.now())
    while running.run_policy(policy.pk):
        pass
    counts: dict[str, int] = CopyRun.objects.filter(policy=policy, kind="check").order_by("-started_at")[0].counts
    return counts


def there(place: Place) -> list[str]:
    return [found.name for found in place.store().find()]


def current(policy: CopyPolicy) -> list[Copy]:
    return list(Copy.objects.filter(policy=policy, stored=True, doomed_at=None).order_by("created_at"))
