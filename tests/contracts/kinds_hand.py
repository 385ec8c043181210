"""A place that only a person can reach, for the contract that all share: the connector, and what the person confirms."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from apps.audit.actors import Actor
from apps.locations.connectors.hand import HandConnector
from apps.locations.contract import Entry, Identity, Obstacle, Progress, Remaining, Scope
from apps.locations.models import Location
from apps.locations.reasons import Reason
from apps.locations.services import ensure_own_locations, save_location
from apps.requests import services, task_files
from apps.requests.by_hand import Confirmed
from apps.requests.dates import today
from apps.requests.documents import Document
from apps.requests.models import Task
from tests.contracts.kinds import Kind
from tests.requests.conftest import as_officer, filed, person, run, staff

ROOM = {
    "person": "Ms Green", "email": "green@example.org", "days": 14, "instructions": "Second floor.", "horizon_days": 7,
}  # fmt: skip


class Hand(Kind):
    """A filing room: Ada's and Ben's papers in a cabinet, and Ms Green, who does what her task says."""

    always = [Obstacle(Reason.BY_HAND)]
    is_counted = False

    def __init__(self) -> None:
        ensure_own_locations()
        save_location(Location(kind="hand", name="Filing room"), config=ROOM, actor=Actor.system())
        self.ada, self.officer = person("ada@example.org"), staff("cleo@example.org", "compliance")
        self.cabinet: dict[str, bytes] = {}
        self.kept: set[str] = set()
        self.task: Task | None = None
        self.connector = self.again()

    def put(self, user_id: str, name: str, data: bytes) -> None:
        self.cabinet[f"users/{user_id}/{name}"] = data

    def everything(self) -> dict[str, str]:
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.cabinet.items()}

    def again(self) -> MsGreen:
        return MsGreen(self)

    @contextlib.contextmanager
    def keep(self, user_id: str, name: str) -> Iterator[None]:
        self.kept = {f"users/{user_id}/{name}"}
        yield
        self.kept = set()

    def given_task(self) -> Task:
        """Return the task of another request of Ada's, as the engine opens it."""
        request = run(filed(self.ada))
        self.task = Task.objects.get(request=request)
        return self.task

    def confirm(self, task: Task, count: int, *, stays: bool = False) -> Confirmed:
        services.confirm_task(
            task,
            note="Looked in the cabinet.",
            item_count=count,
            stays_until=today() + timedelta(days=9) if stays else None,
            officer=self.officer,
            actor=as_officer(self.officer),
        )
        task.refresh_from_db()
        return Confirmed(task)


class MsGreen(HandConnector):
    """What the engine asks: the connector while nobody has acted, then what Ms Green confirmed."""

    def __init__(self, room: Hand) -> None:
        super().__init__(ROOM)
        self._room = room

    def _theirs(self, who: Identity) -> list[str]:
        return [name for user_id in who.of_kind("user_id") for name in self._room.of(user_id)]

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        room = self._room
        if cursor:
            assert room.task is not None
            yield from Confirmed(room.task).export(who, scope, cursor)
            return
        task, theirs = room.given_task(), self._theirs(who)
        for name in theirs:
            task_files.add_task_file(task, Document(name, "text/plain"), [room.cabinet[name]], is_proof=False)
        yield from room.confirm(task, len(theirs)).export(who, scope, "")

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        theirs = self._theirs(who)
        shredded = [name for name in theirs if name not in self._room.kept]
        for name in shredded:
            del self._room.cabinet[name]
        confirmed = self._room.confirm(self._room.given_task(), len(shredded), stays=len(shredded) < len(theirs))
        yield from confirmed.erase(who, scope, cursor)

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        task = self._room.task
        return super().remaining(who, scope) if task is None else Confirmed(task).remaining(who, scope)


def _hand(request: pytest.FixtureRequest) -> Hand:
    settings, folder = request.getfixturevalue("settings"), request.getfixturevalue("tmp_path")
    settings.STORAGES = settings.STORAGES | {"default": _files_in(folder)}
    return Hand()


def _files_in(folder: Path) -> dict[str, object]:
    options = {"location": str(folder / "storage")}
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


HAND_KINDS: dict[str, Callable[[pytest.FixtureRequest], Kind]] = {"hand": _hand}
NO_CONNECTION = "nothing is connected that could be lost"
CANNOT = {
    "hand": {
        "test_one_item": "nothing is counted before a person has looked",
        "test_many_items_are_found_read_and_erased": "nothing is counted before a person has looked",
        "test_killed_and_resumed_after_each_batch": "one confirmation is one batch",
        "test_what_appears_during_the_erasure_is_seen_and_goes_with_a_repeat": "nobody of ours looks again there",
        "test_a_connection_lost_at_any_call_is_said_to_be_lost": NO_CONNECTION,
        "test_an_erasure_that_loses_the_connection_at_any_call_is_finished_by_a_repeat": NO_CONNECTION,
        "test_a_person_whom_the_place_cannot_know_is_a_case_for_a_person": "it always is",
    }
}
