"""Two places of one request are worked on at the same moment by two workers; one worker takes them one after the other."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.audit.actors import Actor
from apps.locations.models import Location
from apps.locations.services import save_location
from apps.requests import engine
from apps.requests.models import ENDED, PrivacyRequest, Status
from tests.requests.conftest import approved, run, step_at
from tests.requests.fakes import FakeConnector

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])
PLACES = ("Support desk", "Newsletter")


class MeetingPlace(FakeConnector):
    """Gives out or erases an item only while the other place is at one as well."""

    meeting: threading.Barrier

    def _dawdle(self) -> None:
        self.meeting.wait()


@pytest.fixture
def meeting(own_places: None, settings: Any, tmp_path: Path) -> None:
    settings.CONNECTORS = settings.CONNECTORS | {"meeting": f"{__name__}.MeetingPlace"}
    for name in PLACES:
        config = {"folder": str(tmp_path / name)}
        save_location(Location(kind="meeting", name=name, country="Ireland"), config=config, actor=Actor.system())
        MeetingPlace(config).put("ada@example.org", 1)


def work_until_ended(request: PrivacyRequest, ended: threading.Event) -> None:
    """Do what every worker process does, until the request has ended."""
    try:
        while not ended.is_set():
            engine.drain()
            if PrivacyRequest.objects.filter(pk=request.pk, status__in=ENDED).exists():
                ended.set()
            ended.wait(0.01)
    finally:
        ended.set()
        connections.close_all()


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["access", "erasure"])
def test_two_workers_work_on_two_places_of_one_request_at_the_same_moment(kind, ada, meeting):
    MeetingPlace.meeting = threading.Barrier(2, timeout=30)
    request = approved(ada, kind)
    ended = threading.Event()
    workers = [threading.Thread(target=work_until_ended, args=(request, ended)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    request.refresh_from_db()
    assert request.status == Status.COMPLETED
    assert [step_at(request, name).done_count for name in PLACES] == [1, 1]
    assert not MeetingPlace.meeting.broken


def test_one_worker_alone_is_never_at_both(ada, meeting):
    MeetingPlace.meeting = threading.Barrier(2, timeout=0.1)
    request = approved(ada)
    with pytest.raises(threading.BrokenBarrierError):
        run(request)
