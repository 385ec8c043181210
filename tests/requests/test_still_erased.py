"""While an erasure is not done in a place, no source brings its person in again from there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.records.importers.types import ParsedConversation
from apps.records.models import Source, SourceRun, Subject
from apps.records.sources import keeping, running
from apps.records.sources.reading import Batch, Cursor
from apps.records.subjects import find_by_identity
from tests.records.conftest import conversation
from tests.requests.conftest import ADA, approved, person, run, step_at, wake
from tests.requests.fakes import FakeConnector

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])


class FakeReader:
    """Reads a conversation of whoever has something in the fake place."""

    def __init__(self, kind: str, config: dict[str, Any], mapping: dict[str, Any], *, seen: Any = None) -> None:
        self.place = FakeConnector(config)

    def check(self) -> list[str]:
        return []

    def batches(self, cursor: Cursor) -> Iterator[Batch]:
        there = sorted(path.name for path in (self.place.folder / "data").iterdir() if any(path.iterdir()))
        people: dict[str, Any] = {email.upper(): [self._of(email)] for email in there}
        yield Batch(people, {})

    def _of(self, email: str) -> ParsedConversation:
        return conversation(f"c-{email}", "a question", "an answer")


@pytest.fixture
def source(place: FakeConnector, settings: Any) -> Source:
    settings.SOURCES = settings.SOURCES | {"fake": "tests.requests.test_still_erased.FakeReader"}
    location = Location.objects.get(kind="fake")
    mapping = {"person_kind": "email"}
    place.put(ADA, 1)
    place.put("carl@example.org", 1)
    return keeping.add_source(name="Desk", location=location, mapping=mapping, adds_people=True, actor=Actor.system())


def read(source: Source) -> dict[str, int]:
    keeping.read_now(source)
    running.run_source(source.pk)
    newest = SourceRun.objects.filter(source=source).order_by("-started_at")[0]
    assert newest.state == "done"
    counts: dict[str, int] = newest.counts
    return counts


@pytest.mark.slow
def test_who_is_still_being_erased_there_is_not_added_anew(ada: Subject, place: FakeConnector, source: Source) -> None:
    place.switch(unavailable=True)
    request = run(approved(ada))
    assert step_at(request, "Support desk").state == "blocked"
    assert not Subject.objects.exists()
    counts = read(source)
    assert (counts["added_people"], counts["withheld"]) == (1, 1)  # Carl, as a control
    assert find_by_identity("email", ADA) == []
    place.switch(unavailable=False)
    wake(request)
    run(request)
    assert step_at(request, "Support desk").state == "done"
    place.put(ADA, 1)  # as read just before it was erased
    assert read(source)["withheld"] == 1
    request.steps.filter(state="done").update(ended_at=timezone.now() - timedelta(minutes=11))
    assert read(source)["added_people"] == 1  # she is there anew
    assert len(find_by_identity("email", ADA)) == 1


@pytest.mark.slow
def test_who_signed_up_anew_gets_nothing_from_there_before_it_is_erased(
    ada: Subject, ben: Subject, place: FakeConnector, source: Source
) -> None:
    place.put("ben@example.org", 1)
    place.switch(unavailable=True)
    run(approved(ada))
    again = person(ADA)
    counts = read(source)
    assert (counts["withheld"], counts["conversations"]) == (1, 2)  # Ben's and Carl's
    assert not again.conversations.exists()
